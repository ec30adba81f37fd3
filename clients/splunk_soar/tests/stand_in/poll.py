"""One poll as the platform makes it, by a stand-in for the part of the platform that is closed.

`poll.py STORE ASSET PARAMS` runs in the app's environment and directory. The BaseConnector of
Splunk SOAR, which is not published, keeps the asset's state and stores containers and artifacts;
the one that the SDK carries for tests forgets it all. STORE, a JSON file, is in its place: as the
platform does it keeps one container for each source data identifier, and in a container one
artifact for each of theirs. `failing_saves` in it says how many calls to store artifacts fail.
"""

import json
import sys
from pathlib import Path
from typing import Any

from soar_sdk.input_spec import AppConfig, InputSpecification
from src.app import app

ASSET_ID = "7"
MAX_COUNT = 4_294_967_295
"""What the platform asks for in a scheduled poll."""


class Store:
    """What the platform holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.content: dict[str, Any] = {
            "state": {},
            "containers": [],
            "artifacts": [],
            "offered": [],
            "failing_saves": 0,
        }
        if path.exists():
            self.content |= json.loads(path.read_text())
        self.content["offered"] = []

    def close(self) -> None:
        """Writes everything down."""
        self._path.write_text(json.dumps(self.content))

    def load_state(self) -> dict[str, Any]:
        return dict(self.content["state"])

    def save_state(self, state: dict[str, Any]) -> None:
        self.content["state"] = state

    def save_container(self, container: dict[str, Any], *_: object) -> tuple[bool, str, int | None]:
        key = container["source_data_identifier"]
        self.content["offered"].append(key)
        for number, known in enumerate(self.content["containers"], start=1):
            if known["source_data_identifier"] == key:
                return False, "Duplicate container found", number
        self.content["containers"].append(container)
        return True, "Container saved", len(self.content["containers"])

    def save_artifacts(self, artifacts: list[dict[str, Any]]) -> tuple[bool, str, list[int]]:
        if self.content["failing_saves"]:
            self.content["failing_saves"] -= 1
            return False, "no space left", []
        known = {self._key(artifact) for artifact in self.content["artifacts"]}
        fresh = [artifact for artifact in artifacts if self._key(artifact) not in known]
        self.content["artifacts"] += fresh
        return True, "Artifacts saved", []

    def _key(self, artifact: dict[str, Any]) -> tuple[int, str]:
        return artifact["container_id"], artifact["source_data_identifier"]


def main(store_path: str, asset_path: str, params_path: str) -> None:
    """Polls once, and leaves in STORE what came of it."""
    store = Store(Path(store_path))
    manager: Any = app.actions_manager
    for name in ("load_state", "save_state", "save_container", "save_artifacts"):
        setattr(manager, name, getattr(store, name))
    asset = json.loads(Path(asset_path).read_text())
    params = json.loads(Path(params_path).read_text())
    config = AppConfig(app_version="0", directory=".", main_module="src.app:app", **asset)
    given = InputSpecification(
        identifier="on_poll",
        asset_id=ASSET_ID,
        config=config,
        parameters=[{"container_count": MAX_COUNT, "artifact_count": MAX_COUNT} | params],
    )
    app.handle(given.model_dump_json())
    (result,) = manager.get_action_results()
    store.content["success"] = result.get_status()
    store.content["message"] = result.get_message()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
