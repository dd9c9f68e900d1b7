"""The options of one Ray Serve deployment, under Serve's own names.

The fields here have defaults or rules of this service. Every other option of Serve's schema is
accepted as well, checked by that schema, and passed on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from configs import serve_options
from configs.scaling import POLICY, POLICY_OPTION


class Section(BaseModel):
    """A section of a configuration file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServeSection(Section):
    """A section of Serve's options. Those that are not fields here are passed on."""

    model_config = ConfigDict(extra="allow")


class ActorOptions(ServeSection):
    """The resources by which Ray schedules. ``num_cpus`` does not limit threads, nor ``num_gpus``
    memory."""

    num_cpus: float = Field(default=0.1, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    memory: PositiveInt | None = None
    resources: dict[str, float] | None = None


class Autoscaling(ServeSection):
    """Serve's ``autoscaling_config``."""

    min_replicas: int = Field(default=1, ge=0)
    initial_replicas: int | None = Field(default=None, ge=0)
    max_replicas: PositiveInt = 1
    target_ongoing_requests: PositiveFloat = 2.0
    upscale_delay_s: float = Field(default=10.0, ge=0)
    downscale_delay_s: float = Field(default=300.0, ge=0)


class UserConfig(Section):
    """``user_config``: the limits of batches, which change on running replicas without a restart.

    A batch has at most ``max_batch_size`` items, and ``max_batch_tokens`` tokens or
    ``max_batch_pixels`` preprocessed pixels, padding included. Its forward should take at most
    ``max_forward_ms``, as estimated from earlier forwards; if one item alone takes longer, at most
    twice that item's time. A waiting request is skipped by at most ``max_batches_waited`` batches,
    unless the overdue requests do not fit together. ``batch_wait_timeout_s`` delays a request until
    others arrive; batches form without it. Another replica is wanted where the work that waits for
    one is predicted to take longer than ``target_queue_s``.
    """

    max_batch_size: PositiveInt = 8
    max_batch_tokens: PositiveInt = 16_384
    max_batch_pixels: PositiveInt = 4_000_000
    max_forward_ms: PositiveFloat = 100.0
    max_batches_waited: PositiveInt = 8
    batch_wait_timeout_s: float = Field(default=0.0, ge=0, le=10)
    target_queue_s: PositiveFloat = 0.5


class Backpressure(Section):
    """Serve's response when ``max_queued_requests`` already wait.

    The front turns it into an error in the format of the API that was called.
    """

    status_code: Literal[429, 503] = 429
    retry_after_s: float | None = Field(default=1.0, ge=0, allow_inf_nan=False)


AUTO_SCALING = {
    "max_replicas": serve_options.AUTO_MAX_REPLICAS,
    "upscale_delay_s": 30.0,
    "downscale_delay_s": 600.0,
}
"""Serve's scaling with ``num_replicas: auto``, where a profile does not set it."""


def _check_replicas(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if value not in (None, "auto"):
        raise ValueError("expected a whole number from 1 on, or auto")
    return value


def _check_queue(value: Any) -> Any:
    if value == 0:
        raise ValueError("expected a whole number from 1 on, or -1 for no bound")
    return value


LONGEST_REQUEST_S = 330.0
"""A replica that stops may take so long to finish its requests: their deadline, and what their last
bytes take. Serve's own 20 s would cut off streams when replicas of the ingress are replaced."""


class DeploymentOptions(ServeSection):
    """All options of one Ray Serve deployment.

    ``num_replicas`` is a fixed number of replicas, instead of ``autoscaling_config``. With
    ``max_surge_percent`` replicas of a changed graph start before those that they replace stop.
    """

    num_replicas: Annotated[int | Literal["auto"] | None, BeforeValidator(_check_replicas)] = None
    autoscaling_config: Autoscaling | None = Autoscaling()
    ray_actor_options: ActorOptions = ActorOptions()
    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: Annotated[int, BeforeValidator(_check_queue), Field(ge=-1)] = 256
    backpressure_config: Backpressure = Backpressure()
    health_check_period_s: PositiveFloat = 10.0
    health_check_timeout_s: PositiveFloat = 30.0
    graceful_shutdown_wait_loop_s: PositiveFloat = 1.0
    graceful_shutdown_timeout_s: float = Field(default=LONGEST_REQUEST_S, ge=0)
    max_surge_percent: int = Field(default=100, ge=0, le=100)
    user_config: UserConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_scaling_beside_a_number(cls, given: Any) -> Any:
        """Drop the default scaling for a profile that sets the number of replicas."""
        if isinstance(given, dict) and given.get("num_replicas") is not None:
            return {"autoscaling_config": None, **given}
        return given

    @model_validator(mode="after")
    def _taken_by_serve(self) -> Self:
        """Check the options that are not fields here by Serve's own schema."""
        given = [*(self.model_extra or {}), *(self.ray_actor_options.model_extra or {})]
        if self.autoscaling_config is not None:
            extra = dict(self.autoscaling_config.model_extra or {})
            given += extra.keys() - {POLICY_OPTION} if extra.get(POLICY_OPTION) == POLICY else extra
        if self.num_replicas is not None or given:
            serve_options.require(self.as_serve())
        return self

    def with_policy(self) -> Self:
        """These options of a family, with this service's policy where they scale and name none."""
        scaling = self.autoscaling_config
        if scaling is None and self.num_replicas != "auto":
            return self
        scaling = scaling or Autoscaling()
        if POLICY_OPTION in (scaling.model_extra or {}):
            return self
        scaling = scaling.model_copy(update={POLICY_OPTION: POLICY})
        return self.model_copy(update={"autoscaling_config": scaling})

    @property
    def scaling(self) -> Autoscaling | None:
        """How the number of replicas is scaled; ``None`` if it is fixed."""
        if self.num_replicas == "auto":
            return Autoscaling.model_validate(AUTO_SCALING | self._own_scaling())
        return self.autoscaling_config if self.num_replicas is None else None

    def as_serve(self) -> dict[str, Any]:
        """The options in the form of Serve's configuration file."""
        given = self.model_dump(mode="json", exclude_none=True)
        if self.num_replicas is not None:
            # Serve would scale by the autoscaling_config of the code in spite of a number in the
            # configuration file; null turns that off.
            given["autoscaling_config"] = self._own_scaling() or None
        return given

    def _own_scaling(self) -> dict[str, Any]:
        """The scaling that the profile itself sets, without defaults."""
        own = self.autoscaling_config
        return {} if own is None else own.model_dump(mode="json", exclude_unset=True)


LEDGER_OPTIONS = DeploymentOptions(
    ray_actor_options=ActorOptions(num_cpus=0),
    max_ongoing_requests=256,
    max_queued_requests=-1,
    graceful_shutdown_timeout_s=5.0,
    max_surge_percent=0,
)
"""The defaults of the ledger, which only adds; a report that fails to reach it is sent again. Two
ledgers at the same time would each have a part of the metrics."""
