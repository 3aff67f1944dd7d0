#!/usr/bin/env python3
"""Hands an order to a hosted video API and leaves; a later beat collects it.

    [generator]
    command = ["python3", "integrations/generators/video-api.py", "https://video.example/v1"]
    timeout = "5m"            # this script's own: one request, or the download
    total_timeout = "2h"      # how long the video may take
    env = ["VIDEO_API_KEY"]

Written for the shape that most of them share: POST /videos {prompt} with an Idempotency-Key answers {id}; GET /videos/ID answers
{status: queued | processing | completed | failed, url, error}. The key of an attempt is the same for each of its starts: one that was
killed anywhere asks for the same video again and pays for it once. The id is kept as well, for APIs that forget keys after a day.
"""
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

DONE, FAILED, CANNOT, NOT_YET, MISCONFIGURED = 0, 1, 65, 75, 78


def leave(code, why=""):
    if why:
        print(why, file=sys.stderr)
    sys.exit(code)


def ask(url, body=None):
    headers = {"Authorization": "Bearer " + os.environ["VIDEO_API_KEY"], "Content-Type": "application/json"}
    if body is not None:
        headers["Idempotency-Key"] = os.environ["ATELIER_IDEMPOTENCY_KEY"]
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            leave(MISCONFIGURED, f"the video API refuses VIDEO_API_KEY (HTTP {error.code})")
        if error.code in (400, 422):
            leave(CANNOT, f"the video API refuses this order (HTTP {error.code})")
        leave(NOT_YET, f"the video API answers HTTP {error.code}: asked again next beat")
    except (OSError, ValueError) as error:
        leave(NOT_YET, f"the video API does not answer ({error}): asked again next beat")


def main():
    if "VIDEO_API_KEY" not in os.environ:
        leave(MISCONFIGURED, "VIDEO_API_KEY is not set: name it in generator.env")
    api = sys.argv[1].rstrip("/")
    kept = pathlib.Path(f".video-{os.environ['ATELIER_IDEMPOTENCY_KEY']}")
    if kept.exists():
        video = kept.read_text().strip()
    else:
        prompt = pathlib.Path(os.environ["ATELIER_BRIEF_FILE"]).read_text()
        video = str(ask(f"{api}/videos", {"prompt": prompt})["id"])
        whole = kept.with_suffix(".new")
        whole.write_text(video)
        whole.rename(kept)
    answer = ask(f"{api}/videos/{urllib.request.quote(video, safe='')}")
    status = answer.get("status")
    if status == "failed":
        leave(FAILED, f"the video API failed: {str(answer.get('error'))[:200]}")
    if status != "completed":
        leave(NOT_YET)
    output = pathlib.Path(os.environ["ATELIER_OUTPUT_DIR"]) / "video.mp4"
    part = output.with_suffix(".part")
    try:
        with urllib.request.urlopen(answer["url"], timeout=240) as source, part.open("wb") as to:
            while piece := source.read(1 << 20):
                to.write(piece)
    except OSError as error:
        leave(NOT_YET, f"the video could not be fetched ({error}): tried again next beat")
    part.rename(output)
    leave(DONE)


main()
