"""Sends audit events to S3 as LiteLLM's s3_v2 callback does: the same request line,
headers and body, signed as botocore's SigV4Auth signs: a second hand that signs, beside
the one in Go. It tries once; what LiteLLM's versions send again is imitated elsewhere
(internal/test/litellm). Python's standard library alone, so that it runs anywhere.

Usage: litellm_s3.py ENDPOINT BUCKET [--method POST]

With POST it sends the PUT's headers and signature, as LiteLLM's second try does.

The keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the region from
AWS_REGION. Each line on standard input is {"key": ..., "events": [...], "batch": bool};
for each, one line on standard output says what came of it:
{"key": ..., "status": 200 or null, "etag": ..., "error": ...}.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import sys
import urllib.parse

# botocore does not sign these.
UNSIGNED = {"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}

def normalized(path):
    """botocore.utils.normalize_url_path, for the general signer (not S3's own)."""
    out = []
    for part in path.split("/"):
        if part and part != ".":
            if part == "..":
                if out:
                    out.pop()
            else:
                out.append(part)
    first = "/" if path[:1] == "/" else ""
    last = "/" if path[-1:] == "/" and out else ""
    return first + "/".join(out) + last


def authorization(method, url, headers, access_key, secret_key, region):
    """botocore.auth.SigV4Auth.add_auth."""
    parts = urllib.parse.urlsplit(url)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers["X-Amz-Date"] = now
    to_sign = {n.lower(): " ".join(v.split()) for n, v in headers.items() if n.lower() not in UNSIGNED}
    to_sign["host"] = parts.netloc
    names = sorted(to_sign)
    canonical = "\n".join([
        method,
        urllib.parse.quote(normalized(parts.path), safe="/~"),
        "",
        "\n".join(f"{n}:{to_sign[n]}" for n in names) + "\n",
        ";".join(names),
        to_sign["x-amz-content-sha256"],
    ])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )


def put(endpoint, bucket, key, body, download, region, method, content_type):
    url = endpoint + "/" + bucket + "/" + key
    headers = {
        "Content-Type": content_type,
        "Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "Content-Language": "en",
        "Content-Disposition": f'inline; filename="{download}"',
        "Cache-Control": "private, immutable, max-age=31536000, s-maxage=0",
    }
    authorization("PUT", url, headers, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], region)
    # What httpx adds.
    headers["Content-Length"] = str(len(body))
    headers.update({"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive", "User-Agent": "litellm/1.0"})
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=30)
    try:
        connection.putrequest(method, parts.path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("ETag"), answer.read().decode()
    finally:
        connection.close()


def send(args, job, region):
    events = job["events"]
    if job.get("batch"):
        body = "\n".join(json.dumps(e, default=str) for e in events)
        download = job["key"].rsplit("/", 1)[-1]
    else:
        body = json.dumps(events[0], default=str)
        download = f"audit-{events[0].get('id')}.json"
    result = {"key": job["key"], "status": None, "etag": None, "error": None}
    kind = "application/x-ndjson" if job.get("batch") else "application/json"
    try:
        result["status"], result["etag"], text = put(
            args.endpoint, args.bucket, job["key"], body.encode(), download, region, args.method, kind)
    except OSError as e:
        result["error"] = type(e).__name__
        return result
    if result["status"] != 200:
        result["error"] = text
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("bucket")
    parser.add_argument("--method", default="PUT")
    args = parser.parse_args()
    region = os.environ.get("AWS_REGION", "us-west-2")
    for line in sys.stdin:
        print(json.dumps(send(args, json.loads(line), region)), flush=True)


if __name__ == "__main__":
    main()
