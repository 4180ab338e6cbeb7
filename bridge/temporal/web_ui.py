"""Links into Temporal's Web UI."""

from urllib.parse import quote

__all__ = ["workflow_page"]


def workflow_page(ui_url: str, namespace: str, workflow_id: str, run_id: str) -> str:
    """Return the page of a run."""
    # The id is one segment of the path: the UI percent-encodes it just so.
    run = f"{quote(workflow_id, safe='')}/{run_id}"
    return f"{ui_url}/namespaces/{quote(namespace, safe='')}/workflows/{run}/history"
