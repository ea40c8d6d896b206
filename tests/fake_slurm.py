"""The three commands of Slurm that submitit needs, on this machine: jobs are processes, one node, no queue."""

import sys
from pathlib import Path

SBATCH = """
import os, re, subprocess, sys
options = dict(re.findall(r"#SBATCH --([a-z-]+)=(.*)", open(sys.argv[1]).read()))
tasks = options.get("ntasks-per-node", "1")
last = re.match(r"'?0-([0-9]+)", options.get("array", ""))
for index in range(int(last[1]) + 1) if last else [None]:
    job = {"SLURM_JOB_ID": str(4300 + (index or 0)), "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": tasks, "SLURM_NNODES": "1"}
    job |= {"SLURM_NTASKS_PER_NODE": tasks, "SLURM_JOB_NODELIST": "localhost", "SLURM_NODELIST": "localhost"}
    job |= {"SLURM_JOB_NAME": "rrtf"}
    if last:
        job |= {"SLURM_ARRAY_JOB_ID": "4300", "SLURM_ARRAY_TASK_ID": str(index)}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(["bash", sys.argv[1]], env=os.environ | job, start_new_session=True, **quiet)
print("Submitted batch job 4300")
"""

SRUN = """
import os, subprocess, sys
arguments = iter(sys.argv[1:])
streams, command = {}, []
for argument in arguments:
    if argument in ("--output", "--error"):
        streams[{"--output": "stdout", "--error": "stderr"}[argument]] = next(arguments)
    elif argument != "--unbuffered":
        command = [argument, *arguments]
names = {"%A": os.environ.get("SLURM_ARRAY_JOB_ID", ""), "%a": os.environ.get("SLURM_ARRAY_TASK_ID", "")}
names["%j"] = os.environ["SLURM_JOB_ID"]
running = []
for rank in range(int(os.environ["SLURM_NTASKS"])):
    names["%t"] = str(rank)
    files = {}
    for stream, path in streams.items():
        for name, value in names.items():
            path = path.replace(name, value)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # a real queue gives submitit the time to do so
        files[stream] = open(path, "a")
    task = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0"}
    task |= {"SLURM_STEP_NUM_TASKS": os.environ["SLURM_NTASKS"]}
    running.append(subprocess.Popen(command, env=os.environ | task, **files))
sys.exit(max(abs(process.wait()) for process in running))
"""

SACCT = """
print("JobID|State|NodeList")
"""


def install(folder: Path) -> Path:
    """Write the commands into `folder`, to be put into PATH."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    return folder
