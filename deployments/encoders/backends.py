"""Chooses the engine that runs an encoder, OpenVINO or torch, and opens the network on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.engines import EngineName, ModelHead
from configs.profile import ModelSpec
from deployments.encoders.interface import Network
from deployments.models.config import FamilyConfig
from deployments.models.device import claim_device, pick_device
from deployments.models.memory import import_libraries
from deployments.models.pretrained import load_options, wanted_quantization

LIBRARIES: dict[EngineName, tuple[str, ...]] = {
    "openvino": ("deployments.encoders.openvino",),
    "torch": ("deployments.encoders.pytorch", "transformers.modeling_utils"),
}


class NotExportedError(Exception):
    """A profile demands OpenVINO for a model that cannot be exported to it."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The engine of one model on this node, and the folder that the engine loads."""

    engine: EngineName
    folder: Path


def choose_backend(config: FamilyConfig, spec: ModelSpec, head: ModelHead) -> BackendChoice:
    """The engine for ``spec`` on this node. Fetches, exports and times the model if need be.

    Raises :class:`NotExportedError` when only OpenVINO is allowed and cannot run the model.
    """
    torch = "torch" in spec.engines
    if "openvino" in spec.engines and (not torch or _on_cpu(config, spec)):
        export = config.export(spec, head)
        if export.folder is None and not torch:
            raise NotExportedError(f"OpenVINO does not take {spec.name}: {export.refusal}")
        faster = export.faster_in(spec.dtype)
        if export.folder is not None and (not torch or faster == "openvino"):
            return BackendChoice("openvino", export.folder)
    return BackendChoice("torch", config.folder(spec))


def import_backend(choice: BackendChoice, head: ModelHead) -> None:
    """Import the engine's libraries now, so that their memory is not attributed to the model."""
    import_libraries(*LIBRARIES[choice.engine])
    if choice.engine == "openvino":
        from deployments.encoders.openvino import warm_up_library

        warm_up_library()
    if choice.engine == "torch" and head == "embedding":
        import_libraries("deployments.encoders.sentence_modules")


def open_network(config: FamilyConfig, spec: ModelSpec, head: ModelHead) -> Network:
    """The network of ``spec``, ready to run. Loading it takes seconds."""
    choice = choose_backend(config, spec, head)
    if choice.engine == "openvino":
        from deployments.encoders.openvino import OpenVinoNetwork

        bfloat16 = spec.dtype == "auto"
        return OpenVinoNetwork(choice.folder, config.threads, spec.forwards, bfloat16=bfloat16)
    from deployments.encoders import pytorch

    device = claim_device(config)
    unquantised = () if head == "embedding" else pytorch.UNQUANTISED
    options = load_options(config, spec, device, unquantised)
    return pytorch.load_network(head, choice.folder, device, options)


def _on_cpu(config: FamilyConfig, spec: ModelSpec) -> bool:
    """Whether torch would run the model on the CPU as well, and unquantised."""
    return pick_device(config) == "cpu" and wanted_quantization(config, spec, "cpu") == "none"
