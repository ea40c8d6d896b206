"""Which sweep points may run inside which launcher. A point is one process; several GPUs need several."""


def launch_mistakes(*, launcher: str, devices: int, nodes: int, tasks_per_node: int = 1, launcher_nodes: int = 1) -> list[str]:
    """What is wrong with sweeping points of `devices` GPUs on `nodes` nodes through Hydra's `launcher`, each with the cure.

    `launcher` is an option of hydra/launcher. Lightning would start the missing processes by running the whole sweep again in
    each of them, which hangs: so it is refused here, before anything is loaded.
    """
    if devices * nodes == 1:
        return []
    want = f"hydra.launcher.nodes={nodes} hydra.launcher.tasks_per_node={devices} hydra.launcher.gpus_per_node={devices}"
    if launcher != "submitit_slurm":
        alone = f"torchrun --nnodes {nodes} --nproc-per-node {devices} -m rrtf …"
        return [
            f"trainer.devices: a sweep point with {devices * nodes} GPUs needs as many processes, and launcher {launcher!r} "
            f"starts one. Sweep with hydra/launcher=submitit_slurm {want}, or run the points one by one: {alone} (without -m)"
        ]
    if (tasks_per_node, launcher_nodes) != (devices, nodes):
        return [
            f"hydra.launcher: starts {tasks_per_node} task(s) on {launcher_nodes} node(s), but trainer asks for {devices} on "
            f"{nodes}: {want}"
        ]
    return []
