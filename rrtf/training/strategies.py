"""Settings -> Lightning's Trainer: devices, precision, and Lightning's own ways to spread over several."""

import os
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn

from rrtf.errors import ConfigurationError
from rrtf.training.launched import launch_mistakes
from rrtf.training.module import RankingModule
from rrtf.training.settings import Accelerator, Precision, StrategyName, Trainer

PRECISIONS: dict[Precision, Any] = {
    Precision.fp32: "32-true",
    Precision.bf16: "bf16-mixed",
    Precision.fp16: "16-mixed",
    Precision.bf16_weights: "bf16-true",
}


def lightning_trainer(trainer: Trainer, *, steps: int) -> pl.Trainer:
    """A bare Trainer: logging, checkpoints and validation are ours, because a step of ours is not a batch of Lightning's."""
    if found := launch_mistakes(trainer):
        raise ConfigurationError(found)
    return pl.Trainer(
        accelerator=trainer.accelerator.value,
        devices=trainer.devices,
        num_nodes=trainer.nodes,
        strategy=_strategy(trainer),
        precision="32-true" if _sharded(trainer) else PRECISIONS[trainer.precision],
        max_epochs=1,
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        inference_mode=False,
    )


def _strategy(trainer: Trainer) -> Any:
    if trainer.strategy is StrategyName.ddp:
        return DDPStrategy(static_graph=False, gradient_as_bucket_view=True)
    if trainer.strategy is StrategyName.fsdp:
        return ModelParallelStrategy(data_parallel_size=trainer.devices * trainer.nodes, tensor_parallel_size=1)
    if trainer.strategy is StrategyName.deepspeed:
        from pytorch_lightning.strategies import DeepSpeedStrategy

        config = deepspeed_config(trainer)
        return DeepSpeedStrategy(config=config)
    return "auto"


def deepspeed_config(trainer: Trainer) -> dict[str, Any]:
    """ZeRO of the set stage; gradients are summed by us, so DeepSpeed sees one micro-batch a step."""
    return {
        "zero_optimization": {"stage": trainer.zero_stage, "overlap_comm": True, "contiguous_gradients": True},
        "gradient_clipping": trainer.clip,
        "train_micro_batch_size_per_gpu": 1,
        "zero_allow_untested_optimizer": True,
    }


def _sharded(trainer: Trainer) -> bool:
    return trainer.strategy is StrategyName.fsdp


def shard(module: RankingModule) -> None:
    """FSDP2: one shard group for each decoder layer and one for the rest; mixed precision is FSDP's own here."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    trainer = module.settings.trainer
    compute = {Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}.get(trainer.precision)
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32 if compute else None)
    mesh: Any = module.device_mesh
    assert mesh is not None
    for layer in decoder_layers(module.scorer.model):
        fully_shard(layer, mesh=mesh["data_parallel"], mp_policy=policy)
    fully_shard(module.scorer, mesh=mesh["data_parallel"], mp_policy=policy)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The blocks of the model: the children of its longest list of modules."""
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len)


def accelerator_device(trainer: Trainer) -> torch.device:
    """The device that this process trains on."""
    if trainer.accelerator is Accelerator.cpu:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
