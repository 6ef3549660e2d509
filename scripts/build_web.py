"""Build the web app into the package that is being built, where there is Node to do it with."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE: Final = (20, 19)


def _node() -> tuple[int, ...]:
    """The version of the Node that npm runs with; that is npm's own affair where there is none beside it."""
    node = shutil.which("node")
    if node is None:
        return OLDEST_NODE
    said = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    return tuple(int(part) for part in said.strip().removeprefix("v").split(".")[:2])


class BuildWeb(BuildHookInterface[Any]):
    """What was built already is taken as it is; an editable install is `make serve`'s to build for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        root = Path(self.root)
        built = root / "src" / "wanvideo" / "server" / "static" / "index.html"
        if version == "editable" or built.is_file() or not (root / "web").is_dir():
            return
        npm = shutil.which("npm")
        if npm is None:
            self.app.display_warning("Without Node, the package gets no web app: its server has the API alone.")
            return
        if (found := _node()) < OLDEST_NODE:
            said = ".".join(map(str, found))
            self.app.display_warning(f"Node {said} is too old to build the web app: the package gets the API alone.")
            return
        for command in (["ci", "--no-progress"], ["run", "build"]):
            subprocess.run([npm, "--prefix", str(root / "web"), *command], check=True)
