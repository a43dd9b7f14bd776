"""A real Chromium, driven over its DevTools protocol: open, look, type, and hear what it complains about.

Debian's chromium is enough; nothing is downloaded. Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
START_SECONDS = 30.0
CALL_SECONDS = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--mute-audio",
    "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page. `complaints` collects console errors, uncaught exceptions and policy violations."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str, context_id: str = "") -> None:
        self._socket = socket
        self._session_id = session_id
        self.context_id = context_id
        self._count = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command."""
        self._count += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = future
        message = {"id": self._count, "method": method, "params": parameters, "sessionId": self._session_id}
        await self._socket.send_json(message)
        async with asyncio.timeout(CALL_SECONDS):
            return await future

    def hear(self, message: dict[str, Any]) -> None:
        """Take an answer or an event of this page."""
        if "id" in message:
            future = self._waiting.pop(message["id"], None)
            if future is not None and not future.done():
                if "error" in message:
                    future.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    future.set_result(message["result"])
            return
        method, data = message["method"], message["params"]
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(data["request"]["url"])
        elif method == "Log.entryAdded" and data["entry"]["level"] == "error":
            self.complaints.append(f"{data['entry']['text']} {data['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and data["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in data["args"]))
        elif method == "Runtime.exceptionThrown":
            details = data["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Page.javascriptDialogOpening":
            self.dialogs += 1

    async def open(self, url: str) -> None:
        """Go to an address and wait until it has loaded."""
        self._loaded.clear()
        answer = await self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise RuntimeError(f"{url}: {answer['errorText']}")
        async with asyncio.timeout(CALL_SECONDS):
            await self._loaded.wait()

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives; promises are awaited."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "failed"))
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = 10.0) -> Any:
        """Wait until an expression is true, and return its value; while a page is being left it cannot be asked."""
        async with asyncio.timeout(seconds):
            while not (found := await self._ask(expression)):
                await asyncio.sleep(0.05)
        return found

    async def _ask(self, expression: str) -> Any:
        try:
            return await self.value(expression)
        except RuntimeError:
            return None

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, ord(key[0].upper()))
            for kind in ("keyDown", "keyUp"):
                more = text if kind == "keyDown" else {}
                await self.call(
                    "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, code=key, **more
                )

    async def size(self, width: int, height: int) -> None:
        """Set the window's inner size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def prefer(self, scheme: str) -> None:
        """Say that the system is light or dark."""
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))


class Chromium:
    """The browser process."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._count = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def listen(self) -> None:
        """Hand out what the browser says; runs until it ends."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            data = json.loads(message.data)
            tab = self._tabs.get(data.get("sessionId", ""))
            if tab is not None:
                tab.hear(data)
            elif (future := self._waiting.pop(data.get("id", 0), None)) is not None:
                future.set_result(data.get("result", {}))

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._count] = future
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        async with asyncio.timeout(CALL_SECONDS):
            return await future

    @asynccontextmanager
    async def tab(self, width: int = 1440, height: int = 900) -> AsyncIterator[Tab]:
        """A page with cookies of its own."""
        context = await self._call("Target.createBrowserContext")
        target = await self._call(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        session = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self._socket, session["sessionId"], context["browserContextId"])
        self._tabs[session["sessionId"]] = tab
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.size(width, height)
        try:
            yield tab
        finally:
            await self._call("Target.disposeBrowserContext", browserContextId=context["browserContextId"])
            del self._tabs[session["sessionId"]]

    @asynccontextmanager
    async def covered(self, tab: Tab) -> AsyncIterator[None]:
        """Another tab in front of one, as when a person turns to other work."""
        target = await self._call("Target.createTarget", url="about:blank", browserContextId=tab.context_id)
        await self._call("Target.activateTarget", targetId=target["targetId"])
        try:
            await tab.until("document.hidden")
            yield
        finally:
            await self._call("Target.closeTarget", targetId=target["targetId"])
            await tab.call("Page.bringToFront")


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Start Chromium, and end it afterwards."""
    assert PROGRAM is not None, "Chromium is not installed"
    with tempfile.TemporaryDirectory(prefix="sigap-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            address = await _address(process)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                browser = Chromium(socket)
                listening = asyncio.create_task(browser.listen())
                yield browser
                listening.cancel()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stderr:
            if b"DevTools listening on " in line:
                return line.decode().rpartition(" on ")[2].strip()
    raise RuntimeError("Chromium ended before it listened.")
