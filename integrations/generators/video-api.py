#!/usr/bin/env python3
"""Submits an order to a hosted video API. A later run collects the result.

    [generator]
    command = ["python3", "integrations/generators/video-api.py", "https://video.example/v1"]
    timeout = "5m"            # for this script: one request, or the download
    total_timeout = "2h"      # for the video
    env = ["VIDEO_API_KEY"]

Written for the shape that most of them share: POST /videos {prompt} with an Idempotency-Key answers {id}; GET /videos/ID answers
{status: queued | processing | completed | failed, url, error}. Every start of one attempt sends the same key, so a start that was
killed asks for the same video and pays for it once. The id is kept too, for APIs that forget keys after a day.

Exit: 0 done, 1 the video failed, 65 the order cannot be done, 75 not ready or not known, 78 misconfigured.
"""
import http.client
import json
import os
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DONE, FAILED, CANNOT, NOT_YET, MISCONFIGURED = 0, 1, 65, 75, 78
AWAY = (OSError, ValueError, http.client.HTTPException)
DOWNLOAD_SECONDS = 200


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keeps the API key from being sent along a redirect to another host."""

    def redirect_request(self, *_):
        return None


def leave(code, why=""):
    if why:
        print(why, file=sys.stderr)
    sys.exit(code)


def ask(url, body=None):
    headers = {"Authorization": "Bearer " + os.environ["VIDEO_API_KEY"], "Content-Type": "application/json"}
    if body is not None:
        headers["Idempotency-Key"] = os.environ["ATELIER_IDEMPOTENCY_KEY"]
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, data, headers), timeout=60) as answer:
            answer = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (401, 402, 403):
            leave(MISCONFIGURED, f"the video API refuses VIDEO_API_KEY (HTTP {error.code})")
        if error.code in (301, 302, 303, 307, 308, 405) or (error.code == 404 and body is not None):
            leave(MISCONFIGURED, f"{url} is not the video API (HTTP {error.code})")
        if error.code in (404, 410):
            leave(FAILED, f"the video API no longer has the video (HTTP {error.code})")
        if error.code in (400, 422):
            leave(CANNOT, f"the video API refuses this order (HTTP {error.code})")
        leave(NOT_YET, f"the video API answers HTTP {error.code}: asked again on the next run")
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            leave(MISCONFIGURED, f"the video API's certificate is not trusted: {error.reason}")
        leave(NOT_YET, f"the video API does not answer ({error.reason}): asked again on the next run")
    except AWAY as error:
        leave(NOT_YET, f"the video API does not answer ({error}): asked again on the next run")
    if not isinstance(answer, dict):
        leave(MISCONFIGURED, f"{url} does not answer as a video API does")
    return answer


def download(url, output):
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        leave(FAILED, "the video's address is not a web address")
    part = output.with_name("." + output.name)
    until = time.monotonic() + DOWNLOAD_SECONDS
    try:
        with urllib.request.urlopen(url, timeout=60) as source, part.open("wb") as to:
            expected = source.headers.get("Content-Length")
            while piece := source.read(1 << 20):
                to.write(piece)
                if time.monotonic() > until:
                    raise TimeoutError("the download takes too long")
        if expected is not None and part.stat().st_size != int(expected):
            raise ValueError("the download was cut off")
    except AWAY as error:
        leave(NOT_YET, f"the video could not be fetched ({error}): tried again on the next run")
    part.rename(output)


def main():
    if len(sys.argv) != 2 or urllib.parse.urlsplit(sys.argv[1]).scheme not in ("http", "https"):
        leave(MISCONFIGURED, "one argument is needed: the address of the video API")
    if not os.environ.get("VIDEO_API_KEY"):
        leave(MISCONFIGURED, "VIDEO_API_KEY is not set: name it in generator.env")
    api = sys.argv[1].rstrip("/")
    kept = pathlib.Path(f".video-{os.environ['ATELIER_IDEMPOTENCY_KEY']}")
    if kept.exists():
        video = kept.read_text().strip()
    else:
        prompt = pathlib.Path(os.environ["ATELIER_BRIEF_FILE"]).read_text()
        answer = ask(f"{api}/videos", {"prompt": prompt})
        if not isinstance(answer.get("id"), (str, int)):
            leave(MISCONFIGURED, f"{api}/videos answers without an id")
        video = str(answer["id"])
        new = kept.with_suffix(".new")
        new.write_text(video)
        new.rename(kept)
    answer = ask(f"{api}/videos/{urllib.parse.quote(video, safe='')}")
    status = answer.get("status")
    if status == "failed":
        leave(FAILED, f"the video API failed: {str(answer.get('error'))[:200]}")
    if status != "completed" or not isinstance(answer.get("url"), str):
        leave(NOT_YET)
    download(answer["url"], pathlib.Path(os.environ["ATELIER_OUTPUT_DIR"]) / "video.mp4")


main()
