"""The endpoints in a Litestar application: ordinary route handlers over the same table.

Three lines add them to an application that is there already::

    from tasker_health.entrypoints.litestar import TaskerHealthPlugin

    app = Litestar(..., plugins=[TaskerHealthPlugin(service)])

The application's middleware sees the requests and its OpenAPI describes them. The user
that its authentication found is whom the status asks about, unless the service has an
authenticator of its own. Readiness and liveness carry
Litestar's mark ``exclude_from_auth``. Guards of the whole application are its own affair:
they hold for these routes as for all others.

Litestar collapses ``//`` and decodes ``%2F`` before it routes. The handlers look at the
path as it was sent, so that what is not exactly theirs is not found, like any other path
of the application's. Where the mark keeps its authentication away from readiness,
``?verbose`` and ``?exclude`` know only what the service's own authenticator finds; one
check alone has no mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import litestar
from litestar import Litestar, MediaType, Request, get, route
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Schema,
)
from litestar.openapi.spec import Parameter as OpenAPIParameter
from litestar.plugins import InitPlugin
from litestar.response.base import ASGIResponse
from litestar.serialization import encode_json

from tasker_health.entrypoints.asgi import HealthApp, request_of, sent_path
from tasker_health.entrypoints.lifespan import entrance
from tasker_health.entrypoints.messages import METHODS, Response, problem
from tasker_health.entrypoints.openapi import DOCUMENTED, Content, Documented, Outcome, Parameter
from tasker_health.formats.schemas import json_schema

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from litestar.config.app import AppConfig
    from litestar.handlers import HTTPRouteHandler

    from tasker_health.entrypoints.asgi import ASGIApp
    from tasker_health.entrypoints.lifespan import Source

__all__ = ["TaskerHealthPlugin", "documented"]

_REFUSED: Final = "There is nothing at this path, or not by this method."
_NOT_MODIFIED: Final = 304
_NEVER_ASKED: Final = frozenset({"health/ready", "health/live"})
"""Those who may not be asked who they are (guide, *Authentication Configuration*)."""
_OTHER_METHODS: Final = [method for method in HttpMethod if method.value not in METHODS]


class TaskerHealthPlugin(InitPlugin):
    """Adds the endpoints to an application.

    Args:
        service: what answers; or what opens it as the application starts and closes it as
            it stops; or an entrance shared with another door.
        prefix: what stands before ``/health`` and ``/metrics``; an entrance has its own.

    Raises:
        ConfigurationError: the prefix is no path.
    """

    def __init__(self, service: Source, prefix: str = "/tasker") -> None:
        self._entrance: Final = entrance(service, prefix)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the routes, and the service's life to the application's."""
        app_config.lifespan.append(self._open)
        for name, documented in DOCUMENTED.items():
            app_config.route_handlers.extend(self._handlers(name, documented))
        return app_config

    def _open(self, _: Litestar) -> AbstractAsyncContextManager[None]:
        return self._entrance.open()

    def _handlers(self, name: str, documented: Documented) -> list[HTTPRouteHandler]:
        """One handler a method, as each is described by itself; one for all that are refused.

        OPTIONS comes first: Litestar adds its own to a path that does not have one yet.
        """

        async def answer(request: Request[Any, Any, Any]) -> ASGIResponse:
            scope = cast("dict[str, Any]", request.scope)
            asked = request_of(scope, sent_path(scope))
            if not self._entrance.has(asked.path):
                raise NotFoundException
            return _rendered(await self._entrance.answer(asked))

        slug = "_".join(re.findall(r"\w+", name.removeprefix("health/")))

        def handler(methods: list[HttpMethod], **described: Any) -> HTTPRouteHandler:
            return route(
                f"{self._entrance.prefix}/{name.replace('}', ':str}')}",
                http_method=methods,
                status_code=200,
                media_type=MediaType.JSON,
                opt={"exclude_from_auth": name in _NEVER_ASKED},
                **described,
            )(answer)

        return [
            *(
                handler(
                    [HttpMethod(method)],
                    name=f"tasker_health_{slug}_{method.lower()}",
                    operation_id=f"tasker_health_{slug}_{method.lower()}",
                    summary=documented.summary,
                    tags=["health"],
                    responses=_specs(_outcomes(documented, method)),
                    operation_class=_operation(documented, _outcomes(documented, method)),
                )
                for method in reversed(METHODS)
            ),
            handler(_OTHER_METHODS, include_in_schema=False),
        ]


def documented(service: Source, prefix: str = "/tasker") -> HealthApp:
    """Make the lean application with Litestar behind it, for the OpenAPI description.

    The description stands at ``PREFIX/openapi.json`` and there is no page that shows it,
    because such a page would load its scripts from elsewhere.

    Args:
        service: as for :class:`TaskerHealthPlugin`.
        prefix: what stands before ``/health``, ``/metrics`` and ``/openapi.json``.
    """
    shared = entrance(service, prefix)

    @get(
        f"{shared.prefix}/openapi.json",
        media_type=MediaType.JSON,
        include_in_schema=False,
        sync_to_thread=False,
    )
    def openapi() -> bytes:
        return written()

    @cache
    def written() -> bytes:
        """Write it once: it takes long, and anybody may ask."""
        return encode_json(description(TaskerHealthPlugin(shared)))

    behind = Litestar(
        [openapi],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _refused},
    )
    return HealthApp(shared, fallback=cast("ASGIApp", behind))


def description(plugin: TaskerHealthPlugin) -> dict[str, Any]:
    """Describe the endpoints, and nothing else, in OpenAPI."""
    config = OpenAPIConfig(title="Tasker health", version="1")
    app = Litestar(plugins=[plugin], openapi_config=config, logging_config=None)
    return app.openapi_schema.to_schema()


def _rendered(response: Response) -> ASGIResponse:
    """Give the answer to Litestar as it is: code, headers in their order, body."""
    return ASGIResponse(
        status_code=response.status,
        headers=[(name.decode(), value.decode()) for name, value in response.headers],
        body=response.body,
    )


def _refused(_: Request[Any, Any, Any], error: HTTPException) -> litestar.Response[bytes]:
    """Tell Litestar's own refusals as ours are told."""
    refusal = problem(error.status_code, _REFUSED)
    return litestar.Response(
        refusal.body,
        status_code=refusal.status,
        headers={name.decode(): value.decode() for name, value in refusal.headers},
    )


def _outcomes(documented: Documented, method: str) -> dict[int, Outcome]:
    """Tell what a method answers: GET alone has a body, OPTIONS asks nothing conditionally."""
    return {
        code: outcome if method == "GET" else attrs.evolve(outcome, content={})
        for code, outcome in documented.outcomes.items()
        if not (method == "OPTIONS" and code == _NOT_MODIFIED)
    }


def _specs(outcomes: dict[int, Outcome]) -> dict[int, ResponseSpec]:
    return {code: _spec(outcome) for code, outcome in outcomes.items()}


def _spec(outcome: Outcome) -> ResponseSpec:
    if not outcome.content:
        return ResponseSpec(None, description=outcome.description)
    media_type, content = next(iter(outcome.content.items()))
    return ResponseSpec(
        content.shape,
        generate_examples=False,
        description=outcome.description,
        media_type=media_type,
        examples=[Example(value=content.example)],
    )


def _operation(documented: Documented, outcomes: dict[int, Outcome]) -> type[Operation]:
    """Make the kind of operation that also tells headers, parameters and second media types.

    Litestar asks for a class here, and fills it from the handler.
    """

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*_parameters(documented)] or None
            responses = cast("dict[str, OpenAPIResponse]", self.responses)
            for code, outcome in outcomes.items():
                responses[str(code)].headers = {**_headers(outcome)}
                for media_type, content in list(outcome.content.items())[1:]:
                    _add_form(responses[str(code)], media_type, content)

    return Described


def _add_form(response: OpenAPIResponse, media_type: str, content: Content) -> None:
    """Tell a further form of a body: a response of Litestar's is told in one."""
    forms = cast("dict[str, OpenAPIMediaType]", response.content)
    forms[media_type] = OpenAPIMediaType(
        schema=cast("Schema", json_schema(content.shape)),  # written out as it stands
        examples={"example": Example(value=content.example)},
    )


def _headers(outcome: Outcome) -> dict[str, OpenAPIHeader]:
    return {
        name: OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description=told, required=True)
        for name, told in outcome.headers.items()
    }


def _parameters(documented: Documented) -> list[OpenAPIParameter]:
    places = {
        "path": documented.path,
        "query": documented.query,
        "header": documented.request_headers,
    }
    return [
        OpenAPIParameter(
            name=name,
            param_in=place,
            schema=_values(parameter),
            description=parameter.description,
            required=place == "path",
            allow_empty_value=parameter.empty,
            example=parameter.example or None,
        )
        for place, parameters in places.items()
        for name, parameter in parameters.items()
    ]


def _values(parameter: Parameter) -> Schema:
    one = Schema(type=OpenAPIType.STRING, enum=list(parameter.allowed) or None)
    return Schema(type=OpenAPIType.ARRAY, items=one) if parameter.repeatable else one
