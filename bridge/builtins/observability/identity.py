"""What the bridge calls itself in the telemetry it sends."""

from bridge.builtins.observability import otlp
from bridge.builtins.observability.settings import ObservabilitySettings

__all__ = ["own_resource", "own_scope"]


def own_resource(settings: ObservabilitySettings) -> otlp.Resource:
    """Return who sends."""
    about = {
        "service.name": settings.service_name,
        "service.version": settings.service_version or settings.version,
        "service.namespace": settings.service_namespace,
        "deployment.environment": settings.deployment_environment,
    }
    return otlp.Resource(otlp.key_values({key: text for key, text in about.items() if text}))


def own_scope(settings: ObservabilitySettings) -> otlp.Scope:
    """Return what recorded it."""
    return otlp.Scope("iii-temporal", settings.version)
