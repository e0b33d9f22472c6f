"""A little of the WebDriver protocol: enough to open pages in a real browser, press keys and look."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

DRIVER, BROWSER = "chromedriver", ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
KEY = {"tab": "\ue004", "enter": "\ue007", "space": " ", "shift": "\ue008", "control": "\ue009"}


def missing() -> str:
    """What is not installed, in words; empty when everything is there."""
    lacking = [] if shutil.which(DRIVER) else [DRIVER]
    lacking += [] if any(shutil.which(name) for name in BROWSER) else ["chromium"]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


class Window:
    """One browser window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(
            method, f"/session/{self._session}{path}", json=body if method == "POST" else None
        )
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(f"{value['error']}: {value['message']}")
        return value

    def open(self, url: str) -> None:
        """Go to an address."""
        self._call("POST", "/url", url=url)

    @property
    def url(self) -> str:
        """The address in the window."""
        return str(self._call("GET", "/url"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page and return what it returns; promises are waited for."""
        return self._call("POST", "/execute/sync", script=script, args=list(arguments))

    def press(self, *keys: str) -> None:
        """Press keys one after another."""
        pressed = [{"type": kind, "value": KEY.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": pressed}])

    def chord(self, *keys: str) -> None:
        """Press keys together."""
        codes = [KEY.get(key, key) for key in keys]
        pressed = [{"type": "keyDown", "value": code} for code in codes]
        pressed += [{"type": "keyUp", "value": code} for code in reversed(codes)]
        self._call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": pressed}])

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.press(*text)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the window's content, as a device of that size has it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._cdp("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Prefer the `light` or the `dark` palette."""
        self._cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def _cdp(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._call("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def accessibility_tree(self) -> list[dict[str, Any]]:
        """Nodes that assistive technology sees: role and name."""
        nodes = self._cdp("Accessibility.getFullAXTree", {})["nodes"]
        return [
            {"role": node.get("role", {}).get("value", ""), "name": node.get("name", {}).get("value", "")}
            for node in nodes
            if not node.get("ignored")
        ]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save what the window shows."""
        found = self._cdp("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(found["data"]))

    def console(self) -> list[str]:
        """Messages of the console since the last call, warnings and errors."""
        return [str(entry["message"]) for entry in self._call("POST", "/se/log", type="browser")]


@contextmanager
def window(width: int = 1280, height: int = 900) -> Iterator[Window]:
    """A browser with one window, ended afterwards."""
    profile = tempfile.mkdtemp(prefix="pa-chromium-")
    port_file = Path(profile) / "driver.log"
    process = subprocess.Popen(
        [DRIVER, "--port=0", f"--log-path={port_file}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{_port(process)}", timeout=60, trust_env=False) as client:
            arguments = [*ARGUMENTS, f"--window-size={width},{height}", f"--user-data-dir={profile}/data"]
            browser = next(path for path in map(shutil.which, BROWSER) if path)
            options = {"args": arguments, "binary": browser}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "WARNING"}}
            made = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
            yield Window(client, made["sessionId"])
            client.delete(f"/session/{made['sessionId']}")
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()
        shutil.rmtree(profile, ignore_errors=True)


def _port(process: subprocess.Popen[str]) -> int:
    """The port that the driver says it listens on."""
    assert process.stdout is not None
    until = monotonic() + 20
    while monotonic() < until:
        line = process.stdout.readline()
        words = line.replace(".", " ").split()
        if "port" in words and words[words.index("port") + 1].isdigit() and "successfully" in line:
            return int(words[words.index("port") + 1])
        sleep(0.01)
    raise AssertionError("chromedriver did not start")


def axe_source() -> str:
    """Text of axe-core, named by PA_GATEWAY_AXE (path of axe.min.js); empty when it is not there."""
    path = Path(os.environ.get("PA_GATEWAY_AXE", "axe.min.js"))
    return path.read_text("utf-8") if path.is_file() else ""
