#!/bin/bash
# Makes a data directory as an earlier revision leaves it, for the tests that open it
# with the program of today:
#
#	testdata/datadir/make.sh BINARY REVISION
#
# BINARY is auditrelay built from REVISION; REVISION.tar.gz is written beside this
# script. It holds two relays, killed with events in every state:
#
#	plain      killed with SIGKILL
#	encrypted  the same with journal.encryption, ended with SIGTERM
#
# On each, of eight events:
#
#	archive  delivers to a file
#	store    delivers to SQLite
#	gated    has two dead letters, for before_value must not leave
#	guest    filters what was deleted
#	away     has sealed payloads that no attempt delivers: its directory is a file
#	paused   has everything pending and nothing sealed
#
# The quarantine holds two items, and one module was uploaded.
set -euo pipefail
binary=$(realpath "$1") revision=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=a-secret-of-sufficient-length AWS_REGION=us-west-2

start() { # in the relay's directory
	"$binary" serve 2>"$work/log" &
	relay=$!
	until grep -q 'msg=listening ' "$work/log"; do
		kill -0 $relay || { cat "$work/log"; exit 1; }
		sleep 0.05
	done
	export AUDITRELAY_SERVER=http://$(sed -n 's/.*msg=listening .*address=\([^ ]*\).*/\1/p' "$work/log")
	s3=http://$(sed -n 's/.*msg="listening for S3" address=\([^ ]*\).*/\1/p' "$work/log")
}

stop() { # SIGNAL
	kill -s "$1" $relay
	wait $relay || true
}

make() { # DIR CONFIGURATION SIGNAL
	mkdir "$work/$1" && cd "$work/$1"
	echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef >master.txt
	chmod 600 master.txt
	cp "$here"/../wasm/drop-c/drop-c.wasm "$here"/../wasm/hostile/keep.wasm .
	: >away
	cat >auditrelay.yaml <<YAML
listen: 127.0.0.1:0
$2
ingest:
  s3:
    listen: 127.0.0.1:0
    keys: [{name: litellm, access_key_id: $AWS_ACCESS_KEY_ID, secret_access_key: $AWS_SECRET_ACCESS_KEY}]
    buckets: [audit]
filters:
  drop: {wasm: ./drop-c.wasm, config: {actions: [deleted]}}
  rules: {module: rules}
callbacks:
  - {name: archive, chunk: {age: 10ms}, sink: {file: {path: out/archive.ndjson}}}
  - {name: store, chunk: {age: 10ms}, sink: {sqlite: {}}}
  - {name: gated, chunk: {age: 10ms}, must_not_leave: {paths: [before_value]}, sink: {file: {path: out/gated.ndjson}}}
  - {name: guest, chunk: {age: 10ms}, filters: [drop], sink: {file: {path: out/guest.ndjson}}}
  - {name: away, chunk: {age: 10ms, events: 3}, filters: [rules], sink: {file: {path: away/events.ndjson}}}
  - {name: paused, chunk: {age: 10ms}, sink: {file: {path: out/paused.ndjson}}}
YAML
	start
	"$binary" callbacks pause paused >/dev/null
	"$binary" module use rules "$("$binary" module push keep.wasm --name rules)" >/dev/null
	"$binary" send - >/dev/null <<EVENTS
{"id":"e1","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t1"}
{"id":"e2","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t2"}
{"id":"e3","action":"deleted","table_name":"LiteLLM_TeamTable","object_id":"t3"}
{"id":"e4","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t4","before_value":"{\"n\":1}"}
EVENTS
	sleep 1
	stop KILL # so that there are tables beside the log
	start
	"$binary" send - >/dev/null <<EVENTS
{"id":"e5","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t5","before_value":"{\"n\":2}"}
{"id":"e6","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t6"}
{"id":"e7","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t7"}
EVENTS
	python3 "$(find "$here/../.." -name litellm_s3.py | head -1)" "$s3" audit >/dev/null <<JOBS
{"key":"audit_logs/2026-01-01/00-00-00_e8.json","events":[{"id":"e8","action":"created","object_id":"t8"}]}
{"key":"audit_logs/2026-01-01/00-00-00_q1.json","events":[{"id":"q1","object_id":"no action"}]}
{"key":"audit_logs/2026-01-01/00-00-00_q2.json","events":[{"id":"q2","action":7}]}
JOBS
	sleep 2
	"$binary" callbacks
	"$binary" callbacks --json >callbacks.json
	stop "$3"
	rm -rf data/cache "$work/log"
}

make plain '' KILL
make encrypted 'journal: {encryption: {key: "file:./master.txt"}}' TERM
cd "$work"
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$here/$revision.tar.gz" plain encrypted
ls -l "$here/$revision.tar.gz"
