"""Back-translation: texts are translated into another language and back, with temperature sampling."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from acl_lightning.data.noise.text_noise import Setting, TextNoise
from acl_lightning.errors import UserError
from acl_lightning.files import write_text_atomically
from acl_lightning.pretrained import is_hub_id, resolve_pretrained

#: Part of the cache key; to be increased when equal settings give other texts.
VERSION = 1


class BackTranslation(TextNoise):
    """Noise by translation into another language and back (the noise study of SCL, arXiv 2011.01403).

    Every token is sampled from `softmax(logits / temperature)`; the higher the temperature, the noisier the text. Texts
    are translated in batches of similar length, with draws that are seeded by the keys of the batch: the result is
    reproducible, but unlike that of `EditNoise` it depends on the other texts. A text with an empty translation stays.

    The result is stored in the cache directory, once per models, temperature, texts and seed. Models are loaded only if
    it is not there. They run on the GPU if there is one.

    Args:
        forward: Model that translates into the other language: a hub id, a directory, or `package:MODULE/SUBDIR`. It is
            a sequence-to-sequence model for one pair of languages, such as `Helsinki-NLP/opus-mt-en-de`.
        backward: Model that translates back, such as `Helsinki-NLP/opus-mt-de-en`.
        temperature: Temperature of the sampling, above 0.
        batch_size: Number of texts that are translated together.

    Raises:
        UserError: The temperature or the batch size is out of range. In `apply`: a model cannot be loaded.
    """

    def __init__(self, forward: str, backward: str, temperature: float = 1.0, batch_size: int = 32) -> None:
        if not 0 < temperature < math.inf:
            raise UserError("a temperature of BackTranslation above 0", f"{temperature}", "Set its temperature to 1.0.")
        if batch_size < 1:
            raise UserError("a batch_size of BackTranslation >= 1", f"{batch_size}", "Set its batch_size to 32.")
        self.forward, self.backward = forward, backward
        self.temperature, self.batch_size = temperature, batch_size

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Models and temperature."""
        return {"forward": self.forward, "backward": self.backward, "temperature": self.temperature}

    def apply(self, texts: Sequence[str], keys: Sequence[str], cache_dir: Path) -> list[str]:
        """Return the texts translated forth and back, from the cache if they were translated before."""
        identity = [VERSION, self.temperature, self.batch_size, list(texts), list(keys)]
        identity += [_identity(model) for model in (self.forward, self.backward)]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        path = cache_dir / f"back-translation-{key}.json"
        stored = _stored(path, len(texts))
        if stored is not None:
            return stored
        translated = list(texts)
        # Loading a model and sampling draw random numbers; the global random state is left as it was.
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            for role in ("forward", "backward"):
                translated = self._translate(role, translated, keys)
        result = [new if new.strip() else old for new, old in zip(translated, texts, strict=True)]
        write_text_atomically(path, json.dumps(result, ensure_ascii=False))
        return result

    def _translate(self, role: str, texts: Sequence[str], keys: Sequence[str]) -> list[str]:
        tokenizer, model = _load(getattr(self, role), role)
        order = sorted(range(len(texts)), key=lambda row: (len(texts[row]), row))
        translated = list(texts)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            seed = hashlib.sha256(json.dumps([role, *(keys[row] for row in rows)]).encode()).digest()
            sampled = self._sample(tokenizer, model, [texts[row] for row in rows], int.from_bytes(seed[:7], "big"))
            for row, text in zip(rows, sampled, strict=True):
                translated[row] = text
        return translated

    def _sample(self, tokenizer: Any, model: Any, texts: list[str], seed: int) -> list[str]:
        """Translate a batch."""
        longest = min(getattr(model.config, "max_position_embeddings", None) or 512, 512)
        inputs = tokenizer(texts, truncation=True, max_length=longest, padding=True, return_tensors="pt")
        inputs = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
        torch.manual_seed(seed)
        with torch.no_grad():
            ids = model.generate(
                **inputs,
                do_sample=True,
                num_beams=1,
                temperature=self.temperature,
                top_k=0,
                top_p=1.0,
                max_length=None,
                max_new_tokens=min(longest - 1, 2 * inputs["input_ids"].shape[1] + 8),
            )
        sampled: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return sampled


def _load(source: str, role: str) -> tuple[Any, Any]:
    try:
        path = resolve_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        model = AutoModelForSeq2SeqLM.from_pretrained(path, trust_remote_code=False, dtype=torch.float32)
    except UserError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"a translation model for {role} of BackTranslation at {source!r}",
            f"{type(error).__name__}: {str(error).strip().splitlines()[0]}",
            f"Set {role} to a directory with a sequence-to-sequence model and its tokenizer, or to a hub id that is "
            "cached or reachable (opus-mt models need the package sentencepiece).",
        ) from error
    return tokenizer, model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _identity(source: str) -> str:
    """Return the hub id of a model, or a hash of its files."""
    if is_hub_id(source):
        return source
    digest = hashlib.sha256()
    for path in sorted(Path(resolve_pretrained(source)).iterdir()):
        if path.is_file():
            with path.open("rb") as content:
                digest.update(f"{path.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _stored(path: Path, num_texts: int) -> list[str] | None:
    """Return the texts of an earlier call; None without a complete file."""
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return texts if isinstance(texts, list) and len(texts) == num_texts else None
