"""A client of Serve's REST API on Ray's dashboard, which `serve deploy` and `serve status` use."""

from typing import Any

import httpx

from serve_app.launcher.state import ServeState, parse_state

APPLICATIONS = "/api/serve/applications/"
# The first deploy also starts Serve's controller and HAProxy.
DEPLOY_LIMIT_S = 120.0
QUERY_LIMIT_S = 10.0
BUSY = frozenset({502, 503, 504})


class DashboardError(Exception):
    """The dashboard did not answer, or refused; the message is for the user."""


class NoAnswerError(DashboardError):
    """The dashboard did not answer in time or is busy; a retry may help."""


class Dashboard:
    """Ray's dashboard at `url`; sends `token` if there is one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        # Proxies that the environment names are not for a cluster's own address.
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=False,
        )

    def details(self) -> dict[str, Any]:
        """Serve's full status, as JSON; without applications when Serve does not run."""
        answer: dict[str, Any] = self._send("GET", QUERY_LIMIT_S).json()
        return answer

    def state(self) -> ServeState:
        """The state of every application."""
        return parse_state(self.details())

    def deploy(self, config: dict[str, Any]) -> None:
        """Apply a Serve config; applications that it does not name are taken down."""
        self._send("PUT", DEPLOY_LIMIT_S, json=config)

    def shut_down(self, limit_s: float) -> None:
        """Take down every application and Serve itself."""
        self._send("DELETE", limit_s)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _send(self, method: str, limit_s: float, json: Any = None) -> httpx.Response:
        try:
            response = self._http.request(method, APPLICATIONS, json=json, timeout=limit_s)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise NoAnswerError(
                f"no answer from Ray's dashboard at {self.url}: {reason}"
            ) from error
        if response.status_code in (401, 403):
            raise DashboardError(
                f"Ray's dashboard at {self.url} wants a token: set RAY_AUTH_TOKEN_PATH"
            )
        if response.is_error:
            kind = NoAnswerError if response.status_code in BUSY else DashboardError
            raise kind(f"Ray's dashboard answered {response.status_code}: {response.text.strip()}")
        return response
