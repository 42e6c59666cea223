"""A headless Chromium, driven over its debugging pipe: real keys, real reloads, real downloads."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0
"""Seconds until something that never comes fails the test."""


def chromium() -> str | None:
    """Where a Chromium is installed; None if none is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab. Messages are JSON, parted by a zero byte, on file descriptors 3 and 4."""

    def __init__(self, to: int, from_: int) -> None:
        self.to, self.from_ = to, from_
        self.number, self.buffer, self.session = 0, b"", ""
        self.events: list[str] = []
        self.pointer = [0.0, 0.0]
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.send("Page.enable")
        self.send("Log.enable")
        self.send("Runtime.enable")
        self.send("Network.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are kept by name."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            chunk = os.read(self.from_, 1 << 20)
            assert chunk, "the browser has gone"
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(json.dumps(message))
        return message

    def open(self, page: Path) -> None:
        """Load a page and wait until its script has run."""
        self.send("Page.navigate", url=page.as_uri())
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def reload(self) -> None:
        """Load the page anew."""
        self.run("window.notReloaded = true")
        self.send("Page.reload")
        self.until("!window.notReloaded && document.readyState === 'complete'")

    def until(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        end = time.monotonic() + PATIENCE
        while self.run(condition) is not True:
            assert time.monotonic() < end, condition
            time.sleep(0.05)

    def run(self, code: str) -> Any:
        """Evaluate code in the page; its value."""
        done = self.send("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press and release keys."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def complaints(self) -> list[str]:
        """Errors, warnings and refused requests that the page has caused so far."""
        self.run("0")
        return [event for event in self.events if _is_complaint(json.loads(event))]

    def requests(self) -> set[str]:
        """What the page has asked for so far, itself included; data URLs aside."""
        self.run("0")
        events = [json.loads(event) for event in self.events]
        asked = [event["params"]["request"]["url"] for event in events
                 if event["method"] == "Network.requestWillBeSent"]  # fmt: skip
        return {url for url in asked if not url.startswith("data:")}

    def resize(self, width: int, height: int = 900) -> None:
        """Give the page a window of so many CSS pixels; a narrow one is a phone's."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip

    def hover(self, expression: str) -> None:
        """Move the pointer to the middle of the element that an expression yields."""
        box = self.run(
            f"(() => {{ const one = {expression}; one.scrollIntoView({{block: 'center'}});"
            " const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
        self.pointer = box

    def click(self, expression: str) -> None:
        """Click on the middle of the element that an expression yields."""
        self.hover(expression)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=self.pointer[0], y=self.pointer[1],
                      button="left", clickCount=1)  # fmt: skip

    def screenshot(self, out: Path) -> None:
        """Write what the window shows as PNG."""
        shot = self.send("Page.captureScreenshot", format="png")
        out.write_bytes(base64.b64decode(shot["data"]))


def _is_complaint(event: dict[str, Any]) -> bool:
    if event["method"] == "Runtime.consoleAPICalled":
        return event["params"]["type"] in ("error", "warning", "assert")
    return event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")


@contextmanager
def running(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended at the end."""
    path = chromium()
    assert path is not None
    profile.mkdir(parents=True, exist_ok=True)
    command_out, command_in = os.pipe()
    answer_out, answer_in = os.pipe()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-pipe"]  # fmt: skip
    # the shell gives the pipe's ends the numbers that Chromium expects
    moved = f'exec 3<&{command_out} 4>&{answer_in}; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", moved, "bash", path, *flags, "about:blank"],
        pass_fds=(command_out, answer_in),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_out)
    os.close(answer_in)
    try:
        yield Browser(command_in, answer_out)
    finally:
        os.close(command_in)
        process.terminate()
        process.wait(PATIENCE)
        os.close(answer_out)
