"""`python -m offline.model_api`: one JSON line when it listens, then one for each request."""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path
from typing import TextIO

from offline.model_api.server import ModelApi, Received


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="offline.model_api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any; the first line tells which")
    parser.add_argument("--certificate", type=Path, help="PEM file: speak TLS")
    parser.add_argument("--key", type=Path, help="PEM file of its key")
    parser.add_argument("--expected-key", help="the only API key that is taken")
    parser.add_argument("--answers", type=Path, help="JSON file: words -> the script for prompts with these words")
    parser.add_argument("--control", type=Path, help="file that gets the address once it listens")
    parser.add_argument("--log", type=Path, help="file for the lines, instead of stdout")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    answers = json.loads(options.answers.read_text()) if options.answers else {}
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    with options.log.open("a") if options.log else _standard_output() as out:

        def note(received: Received) -> None:
            out.write(received.line() + "\n")
            out.flush()

        async with ModelApi(
            host=options.host,
            port=options.port,
            tls=tls,
            expected_key=options.expected_key,
            answers=answers,
            on_request=note,
        ) as api:
            out.write(json.dumps({"listening": api.url}) + "\n")
            out.flush()
            if options.control:
                _write_whole(options.control, api.url)
            await stopped.wait()


def _standard_output() -> TextIO:
    return open(sys.stdout.fileno(), "w", closefd=False)


def _write_whole(path: Path, text: str) -> None:
    """So that a reader who sees the file sees all of it."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
