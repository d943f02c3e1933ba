"""Sessions of onnxruntime for the segments of a package."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import OrtValueVector

from acl_lightning.errors import UserError
from acl_lightning.serving.criteria import Floats
from acl_lightning.serving.manifest import Manifest
from acl_lightning.serving.tensors import DEVICES, State, Tensor, device_named

#: Outputs of a segment that are read on the host; all others are passed on.
READ = ("logits", "gate", "cosines")

#: Ending of the names of outputs whose names without it are inputs of the next segment.
PASSED = "_out"

#: Fusions of onnxruntime that are not used: on the CPU this operator takes several times as long as its parts, an
#: addition and a normalisation (measured with onnxruntime 1.23, 32 x 128 tokens, width 384).
SLOW_FUSIONS = ["SkipLayerNormFusion"]


class SegmentSession:
    """One segment of a package, loaded into onnxruntime. Usable by several threads at once.

    Hidden states, keys and values stay on the device, in memory that onnxruntime owns; Python handles references.

    Args:
        path: ONNX file.
        options: Options of the session.
        providers: Execution providers, the preferred first.

    Raises:
        UserError: onnxruntime cannot load the file.
    """

    def __init__(self, path: Path, options: onnxruntime.SessionOptions, providers: Sequence[str]) -> None:
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=list(providers), disabled_optimizers=SLOW_FUSIONS
            )
        except Exception as error:  # onnxruntime has a class per error code, without a public base class
            reason = str(error).splitlines()[0]
            raise UserError(f"to load {path} into onnxruntime", reason, "Export the run again.") from error
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        named = list(enumerate(self._outputs))
        self._read = [(place, name) for place, name in named if name in READ]
        self._passed = [(place, name.removesuffix(PASSED)) for place, name in named if name not in READ]
        device = device_named(DEVICES.get(self._session.get_providers()[0], "cpu"))
        self._devices = [device_named("cpu") if name in READ else device for name in self._outputs]
        self._run_options = onnxruntime.RunOptions()

    def __call__(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Floats], State]:
        """Return the outputs of `READ` as arrays, and the state for the next segment, without the mask."""
        # One call of onnxruntime instead of the ten of an IOBinding: for a single text each of them counts.
        feeds, results = OrtValueVector(), OrtValueVector()
        for name in self._inputs:
            feeds.push_back(state[name].value)
        self._session.run_with_ortvaluevector(
            self._run_options, self._inputs, feeds, self._outputs, results, self._devices
        )
        read = {name: results[place].numpy() for place, name in self._read}
        return read, {name: Tensor(results[place], None) for place, name in self._passed}


class SegmentSessions:
    """The segments of both variants of a package. A variant is loaded when it is first used.

    Args:
        manifest: Manifest of the package.
        threads: Number of threads of an operator.
        providers: Execution providers, the preferred first.

    Raises:
        UserError: A provider is not available, or the number of threads is not an integer of at least 1.
    """

    def __init__(self, manifest: Manifest, threads: int, providers: Sequence[str]) -> None:
        if not isinstance(threads, int) or threads < 1:
            raise UserError("a number of threads, an integer >= 1", f"{threads}", "Set threads to 1 (default).")
        if isinstance(providers, str):
            raise UserError("a list of execution providers", repr(providers), f"Set providers to [{providers!r}].")
        available = onnxruntime.get_available_providers()
        missing = [name for name in providers if name not in available]
        if missing or not providers:
            raise UserError(
                f"execution providers among {', '.join(available)}",
                ", ".join(missing) or "none",
                "Set providers to CPUExecutionProvider (default), or install onnxruntime-gpu for CUDA.",
            )
        self._manifest, self._providers = manifest, tuple(providers)
        self._options = _options(threads)
        self._loaded: dict[str, tuple[SegmentSession, ...]] = {}
        self._lock = threading.Lock()

    def variant(self, name: str) -> tuple[SegmentSession, ...]:
        """Return the sessions of a variant, `row_first` or `whole`, in order.

        Raises:
            UserError: onnxruntime cannot load a file.
        """
        with self._lock:
            if name not in self._loaded:
                paths = self._manifest.segments(name)
                self._loaded[name] = tuple(SegmentSession(path, self._options, self._providers) for path in paths)
            return self._loaded[name]


def _options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options of all sessions.

    The number of threads is explicit: the default takes every core, and its waiting threads disturb other sessions.
    Each session has its own threads, which by default spin for a while after a call; here they stop at once, since
    the next segment, with other threads, needs the cores.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # errors; also without the remark on a provider that takes some operators only
    return options
