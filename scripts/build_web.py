"""Build the web app into the package that is being built, where there is Node to do it with."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


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
        for command in (["ci", "--no-progress"], ["run", "build"]):
            subprocess.run([npm, "--prefix", str(root / "web"), *command], check=True)
