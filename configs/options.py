"""Options of one Ray Serve deployment, under Serve's own names.

Those that are fields here have defaults of their own, or rules of this service; every other one
that Serve's schema has is passed on, and checked by that schema.
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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServeSection(Section):
    """Options under Serve's names. Those that are no fields here are passed on as they are.

    The fields have defaults of their own, or rules of this service.
    """

    model_config = ConfigDict(extra="allow")


class ActorOptions(ServeSection):
    """What Ray schedules by. ``num_cpus`` bounds no threads, ``num_gpus`` no memory by itself."""

    num_cpus: float = Field(default=0.1, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    memory: PositiveInt | None = None
    resources: dict[str, float] | None = None


class Autoscaling(ServeSection):
    min_replicas: int = Field(default=1, ge=0)
    initial_replicas: int | None = Field(default=None, ge=0)
    max_replicas: PositiveInt = 1
    target_ongoing_requests: PositiveFloat = 2.0
    upscale_delay_s: float = Field(default=10.0, ge=0)
    downscale_delay_s: float = Field(default=300.0, ge=0)


class UserConfig(Section):
    """``user_config``: what changes on running replicas without a restart.

    A forward holds at most ``max_batch_size`` items and ``max_batch_tokens`` tokens, or
    ``max_batch_pixels`` pixels behind preprocessing, padding included. As a rule it takes at most
    ``max_forward_ms``, by what earlier ones took; where one item alone takes longer, at most twice
    as long as that. At most ``max_batches_waited`` batches begin without an item of a request that
    waits, as far as there is room for all that have waited so long. ``batch_wait_timeout_s`` is how
    long a request is held for others to be queued with, which batches do not need.
    """

    max_batch_size: PositiveInt = 8
    max_batch_tokens: PositiveInt = 16_384
    max_batch_pixels: PositiveInt = 4_000_000
    max_forward_ms: PositiveFloat = 100.0
    max_batches_waited: PositiveInt = 8
    batch_wait_timeout_s: float = Field(default=0.0, ge=0, le=10)


class Backpressure(Section):
    """How Serve answers where ``max_queued_requests`` wait already; the front makes it an error in
    the envelope of the surface."""

    status_code: Literal[429, 503] = 429
    retry_after_s: float | None = Field(default=1.0, ge=0, allow_inf_nan=False)


AUTO = {
    "max_replicas": serve_options.AUTO_MAX_REPLICAS,
    "upscale_delay_s": 30.0,
    "downscale_delay_s": 600.0,
}
"""What Serve scales by under ``num_replicas: auto`` where a profile does not say."""


def _count(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if value not in (None, "auto"):
        raise ValueError("expected a whole number from 1 on, or auto")
    return value


def _bound(value: Any) -> Any:
    if value == 0:
        raise ValueError("expected a whole number from 1 on, or -1 for no bound")
    return value


class DeploymentOptions(ServeSection):
    """Options of one Ray Serve deployment: every one that Serve's own schema has.

    ``num_replicas`` is a fixed number of replicas, in the place of ``autoscaling_config``.
    """

    num_replicas: Annotated[int | Literal["auto"] | None, BeforeValidator(_count)] = None
    autoscaling_config: Autoscaling | None = Autoscaling()
    ray_actor_options: ActorOptions = ActorOptions()
    max_ongoing_requests: PositiveInt = 64
    max_queued_requests: Annotated[int, BeforeValidator(_bound), Field(ge=-1)] = 256
    backpressure_config: Backpressure = Backpressure()
    health_check_period_s: PositiveFloat = 10.0
    health_check_timeout_s: PositiveFloat = 30.0
    graceful_shutdown_wait_loop_s: PositiveFloat = 1.0
    graceful_shutdown_timeout_s: float = Field(default=20.0, ge=0)
    user_config: UserConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_scaling_beside_a_number(cls, given: Any) -> Any:
        """Our default scaling is for profiles that say nothing about the number of replicas."""
        if isinstance(given, dict) and given.get("num_replicas") is not None:
            return {"autoscaling_config": None, **given}
        return given

    @model_validator(mode="after")
    def _taken_by_serve(self) -> Self:
        """What is not of this file's own making is checked by Serve's own schema."""
        sections = (self, self.autoscaling_config, self.ray_actor_options)
        if self.num_replicas is not None or any(each and each.model_extra for each in sections):
            serve_options.require(self.as_serve())
        return self

    @property
    def scaling(self) -> Autoscaling | None:
        """What the number of replicas follows; ``None`` when it is fixed."""
        if self.num_replicas == "auto":
            return Autoscaling.model_validate(AUTO | self._own_scaling())
        return self.autoscaling_config if self.num_replicas is None else None

    def as_serve(self) -> dict[str, Any]:
        """The options as Serve takes them, in code and in its configuration file."""
        given = self.model_dump(mode="json", exclude_none=True)
        if self.num_replicas is not None:
            # Serve lets a configuration file's number stand beside the scaling of the code, and
            # then scales: null is what turns that off.
            given["autoscaling_config"] = self._own_scaling() or None
        return given

    def _own_scaling(self) -> dict[str, Any]:
        """What the profile itself says about scaling, without our defaults."""
        own = self.autoscaling_config
        return {} if own is None else own.model_dump(mode="json", exclude_unset=True)


LEDGER_OPTIONS = DeploymentOptions(
    ray_actor_options=ActorOptions(num_cpus=0),
    max_ongoing_requests=256,
    max_queued_requests=-1,
    graceful_shutdown_timeout_s=5.0,
)
"""The ledger's own: it only adds, and what cannot reach it waits where it came from."""
