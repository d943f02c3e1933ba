"""Settings, splits and loaders of the GLUE data module."""

import datasets
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from lightning.pytorch import LightningModule, Trainer

from acl_lightning.data.datamodule import GLUEDataModule
from acl_lightning.data.tasks import TASKS
from acl_lightning.errors import UserError


@pytest.fixture
def synthetic(tmp_path):
    def build(**settings):
        return GLUEDataModule(**{"source": "synthetic", "synthetic_rows": 120, "cache_dir": str(tmp_path)} | settings)

    return build


def as_list(loaders):
    return loaders if isinstance(loaders, list) else [loaders]


def column(loader, name):
    return torch.cat([batch[name] for batch in loader]).tolist()


# --- construction -----------------------------------------------------------------------------------------------------


def test_task_attributes_are_known_before_any_file_is_read(monkeypatch):
    monkeypatch.setattr("acl_lightning.data.text_module.load_tokenizer", None)
    module = GLUEDataModule("SST-2", root="/nowhere", tokenizer="no/such-model")
    assert module.info is TASKS["sst2"]
    assert (module.label_names, module.metrics, module.num_labels) == (["negative", "positive"], ["accuracy"], 2)
    assert GLUEDataModule("stsb").num_labels == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "imdb"}, "a GLUE task: cola"),
        ({"source": "hub", "root": "/data"}, "no --data.root with --data.source=hub; found '/data'"),
        ({"source": "synthetic", "root": "/data"}, "no --data.root with --data.source=synthetic"),
        ({"source": "local"}, "--data.root with --data.source=local; found none"),
        ({"source": "web"}, "--data.source among hub, local, synthetic; found 'web'"),
        ({"predict_split": "dev"}, "a split of sst2: train, validation, test; found 'dev'"),
        ({"batch_size": 0}, "--data.batch_size of at least 1; found 0"),
        ({"eval_batch_size": -1}, "--data.eval_batch_size of at least 1"),
        ({"max_length": 7}, "--data.max_length of at least 8"),
        ({"num_workers": -1}, "--data.num_workers of at least 0"),
        ({"seed": -1}, "--data.seed of at least 0"),
        ({"train_rows": 0}, "--data.train_rows of at least 1"),
        ({"synthetic_rows": 0}, "--data.synthetic_rows of at least 1"),
    ],
)
def test_invalid_settings_are_refused_at_construction(settings, message):
    with pytest.raises(UserError, match=message):
        GLUEDataModule(**settings)


# --- synthetic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_batches_and_loaders_of_every_task(synthetic, task):
    module = synthetic(task=task, batch_size=16, eval_batch_size=16)
    module.prepare_data()
    module.setup("fit")
    info = module.info
    tokens = {"input_ids", "attention_mask", "token_type_ids"}
    train = next(iter(module.train_dataloader()))
    assert set(train) == tokens | {"labels", "index", "difficulty"}
    assert train["labels"].dtype == (torch.float32 if info.is_regression else torch.long)
    assert {batch.shape[0] for batch in train.values()} == {16}
    assert len(module.train_dataloader()) == module.train_batches_per_epoch(1) == 8
    loaders = as_list(module.val_dataloader())
    assert len(loaders) == len(info.validation_splits) == (2 if task == "mnli" else 1)
    for loader in loaders:
        assert column(loader, "index") == list(range(30))
        assert sum(column(loader, "selection")) == 15
        assert set(column(loader, "difficulty")) == set(range(5))
    assert len(as_list(module.test_dataloader())) == len(loaders)
    assert column(module.predict_dataloader(), "index") == list(range(30))
    assert tuple(module.texts("validation", 3)) == info.text_columns


def test_batches_hold_the_texts_and_labels_of_their_index(synthetic):
    module = synthetic(task="rte", batch_size=7)
    source = module.source.load(module.info, "train")
    for batch in module.train_dataloader():
        for ids, label, index in zip(batch["input_ids"], batch["labels"], batch["index"], strict=True):
            texts = module.texts("train", int(index))
            assert texts == {name: source[int(index)][name] for name in texts}
            assert module.tokenizer.decode(ids, skip_special_tokens=True) == " ".join(
                module.tokenizer.decode(module.tokenizer(text)["input_ids"], skip_special_tokens=True)
                for text in texts.values()
            )
            assert int(label) == source[int(index)]["label"]


def test_the_selection_split_is_stratified_and_depends_on_the_seed_only(synthetic):
    selection = {}
    for key, settings in {"a": {}, "b": {"eval_batch_size": 5}, "c": {"predict_split": "validation"}}.items():
        (loader,) = as_list(synthetic(task="sst2", **settings).val_dataloader())
        selection[key] = column(loader, "selection")
        labels = torch.tensor(column(loader, "labels"))
        selected = torch.tensor(selection[key])
        assert int(labels[selected].sum()) in {7, 8}
        assert int(labels[~selected].sum()) in {7, 8}
    assert selection["a"] == selection["b"] == selection["c"]


def test_shuffle_seed_changes_the_order_and_nothing_else(synthetic):
    first, second = synthetic(shuffle_seed=1), synthetic(shuffle_seed=2)
    orders = [column(module.train_dataloader(), "index") for module in (first, second)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert first.texts("train", 5) == second.texts("train", 5)
    assert column(first.val_dataloader(), "selection") == column(second.val_dataloader(), "selection")
    assert column(synthetic(seed=3).train_dataloader(), "index") == column(
        synthetic(seed=3, shuffle_seed=3).train_dataloader(), "index"
    )


def test_train_rows_is_a_stratified_subset_that_keeps_its_row_numbers(synthetic):
    few, whole = synthetic(train_rows=20), synthetic()
    index, labels = (column(few.train_dataloader(), name) for name in ("index", "labels"))
    assert len(set(index)) == 20
    assert max(index) > 20
    assert sum(labels) == 10
    all_labels = dict(zip(*(column(whole.train_dataloader(), name) for name in ("index", "labels")), strict=True))
    assert labels == [all_labels[row] for row in index]
    assert few.train_batches_per_epoch(1) == 1
    with pytest.raises(UserError, match=r"--data.train_rows up to 120 for sst2; found 121"):
        synthetic(train_rows=121).setup("fit")


def test_a_stage_loads_only_its_splits(synthetic, monkeypatch):
    for stage, splits in {"fit": ["train", "validation"], "predict": ["test"], "validate": ["validation"]}.items():
        module, loaded = synthetic(), []
        monkeypatch.setattr(module, "_build", lambda split, loaded=loaded: loaded.append(split))
        module.setup(stage)
        assert loaded == splits


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_number_of_workers(synthetic, workers):
    module = synthetic(num_workers=workers, batch_size=50)
    assert column(module.train_dataloader(), "index") == column(synthetic(batch_size=50).train_dataloader(), "index")


# --- local and hub ----------------------------------------------------------------------------------------------------


def test_official_files_are_read_from_the_root(tmp_path):
    (tmp_path / "RTE").mkdir()
    rows = "".join(f"{n}\tthe film is {n}\tit is {n}\t{'not_' * (n % 2)}entailment\n" for n in range(10))
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / "RTE" / name).write_text("index\tsentence1\tsentence2\tlabel\n" + rows)
    (tmp_path / "RTE" / "test.tsv").write_text("index\tsentence1\tsentence2\n0\tA\tB\n")
    module = GLUEDataModule("rte", root=str(tmp_path), cache_dir=str(tmp_path / "cache"), batch_size=10)
    (batch,) = module.train_dataloader()
    assert torch.equal(batch["labels"], batch["index"] % 2)
    assert "difficulty" not in batch
    (predicted,) = module.predict_dataloader()
    assert set(predicted) == {"input_ids", "attention_mask", "token_type_ids", "index"}
    (tmp_path / "RTE" / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"the file .*dev.tsv; found only test.tsv, train.tsv"):
        GLUEDataModule("rte", root=str(tmp_path)).setup("validate")


@pytest.mark.parametrize("task", TASKS)
def test_hub_columns_are_renamed_to_the_canonical_names(tmp_path, monkeypatch, task):
    info = TASKS[task]

    def load_dataset(path, name, *, split, cache_dir):
        assert (path, name, cache_dir) == ("nyu-mll/glue", task, str(tmp_path))
        assert split in info.splits
        label = Value("float32") if info.is_regression else ClassLabel(names=list(info.label_names))
        features = Features(
            {column: Value("string") for column in info.hub_columns} | {"label": label, "idx": Value("int32")}
        )
        columns = {name: [f"{name} {row}" for row in range(6)] for name in info.hub_columns}
        labels = [-1] * 6 if split.startswith("test") else [0, 1] * 3
        return Dataset.from_dict({**columns, "label": labels, "idx": range(6)}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    module = GLUEDataModule(task, cache_dir=str(tmp_path))
    (batch,) = module.train_dataloader()
    assert torch.equal(batch["labels"].long(), batch["index"] % 2)
    assert module.texts("train", 4) == {
        ours: f"{hub} 4" for ours, hub in zip(info.text_columns, info.hub_columns, strict=True)
    }
    (predicted,) = module.predict_dataloader()
    assert "labels" not in predicted
    assert "selection" not in predicted


def test_a_missing_connection_is_reported_with_its_remedies(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"nyu-mll/glue \(rte\) .*no connection.*data.root.*data.source to synthetic"):
        GLUEDataModule("rte", cache_dir=str(tmp_path)).setup("fit")


@pytest.mark.parametrize("task", ["rte", "cola", "sst2"])
def test_real_data_are_loaded(glue_root, tmp_path, task):
    if not (glue_root / TASKS[task].directory).is_dir():
        pytest.skip(f"no {TASKS[task].directory} below ACL_LIGHTNING_GLUE")
    module = GLUEDataModule(task, root=str(glue_root), train_rows=100, cache_dir=str(tmp_path))
    module.setup("fit")
    assert len(module.train_dataloader()) == 4
    for batch in module.val_dataloader():
        assert batch["input_ids"].shape[1] <= 128
        assert set(batch["labels"].tolist()) <= {0, 1}


# --- with Lightning ---------------------------------------------------------------------------------------------------


class Recorder(LightningModule):
    """A module that records the rows of every step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, _):
        self.seen.append(batch["index"].tolist())
        return self.weight * 0.0

    def validation_step(self, batch, _, dataloader_idx=0):
        self.seen.append((dataloader_idx, batch["index"].tolist()))
        return batch["index"]

    test_step = predict_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def trainer(tmp_path, **settings):
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **settings,
    )


@pytest.mark.parametrize(
    ("stage", "task"), [("validate", "mnli"), ("test", "mnli"), ("test", "rte"), ("predict", "rte")]
)
def test_lightning_runs_every_row_once(synthetic, tmp_path, stage, task):
    module, recorder = synthetic(task=task, eval_batch_size=8), Recorder()
    getattr(trainer(tmp_path), stage)(recorder, datamodule=module)
    for number in range(2 if task == "mnli" else 1):
        assert [row for loader, rows in recorder.seen if loader == number for row in rows] == list(range(30))


@pytest.mark.filterwarnings("ignore:.*overfit_batches")
def test_overfit_batches_trains_on_the_same_rows_in_every_epoch(synthetic, tmp_path):
    recorder = Recorder()
    trainer(tmp_path, overfit_batches=2, max_epochs=2).fit(recorder, datamodule=synthetic())
    trained = [rows for rows in recorder.seen if isinstance(rows, list)]
    assert trained == [list(range(32)), list(range(32, 64))] * 2


def test_the_rank_comes_from_the_trainer(synthetic):
    class Two:
        world_size, global_rank, overfit_batches = 2, 1, 0

    alone, second = synthetic(batch_size=32), synthetic(batch_size=16)
    second.trainer = Two()
    whole = [batch["index"].tolist() for batch in alone.train_dataloader()]
    shard = [batch["index"].tolist() for batch in second.train_dataloader()]
    assert shard == [rows[len(rows) // 2 :] for rows in whole]
    assert second.train_batches_per_epoch(2) == alone.train_batches_per_epoch(1)
