package otlp

import (
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protowire"
)

// The field numbers of opentelemetry-proto 1.9: ExportLogsServiceRequest, ResourceLogs,
// ScopeLogs, LogRecord, KeyValue, AnyValue, ExportLogsServiceResponse.
const (
	requestResourceLogs = 1

	resourceLogsResource  = 1
	resourceLogsScopeLogs = 2

	scopeLogsScope  = 1
	scopeLogsRecord = 2
	scopeName       = 1

	recordTime           = 1
	recordSeverityNumber = 2
	recordSeverityText   = 3
	recordBody           = 5
	recordAttributes     = 6
	recordObserved       = 11
	recordEventName      = 12

	keyValueKey   = 1
	keyValueValue = 2

	anyValueString = 1

	responsePartialSuccess = 1
	partialRejected        = 1

	severityInfo = 9
)

// request encodes the message for sealed lines.
func request(resource []byte, lines [][]byte) []byte {
	var records, one []byte
	for _, line := range lines {
		one = appendRecord(one[:0], gjson.ParseBytes(line))
		records = appendBytes(records, scopeLogsRecord, one)
	}
	scope := appendBytes(nil, scopeLogsScope, appendString(nil, scopeName, "auditrelay"))
	logs := appendBytes(nil, resourceLogsResource, resource)
	logs = appendBytes(logs, resourceLogsScopeLogs, append(scope, records...))
	return appendBytes(nil, requestResourceLogs, logs)
}

func appendRecord(dst []byte, line gjson.Result) []byte {
	dst = protowire.AppendFixed64(protowire.AppendTag(dst, recordTime, protowire.Fixed64Type), line.Get("time").Uint())
	dst = protowire.AppendVarint(protowire.AppendTag(dst, recordSeverityNumber, protowire.VarintType), severityInfo)
	dst = appendString(dst, recordSeverityText, "INFO")
	body := line.Get("body")
	text := body.Raw
	if body.Type == gjson.String {
		text = body.Str
	}
	dst = appendBytes(dst, recordBody, appendString(nil, anyValueString, text))
	line.Get("attributes").ForEach(func(name, value gjson.Result) bool {
		dst = appendAttribute(dst, recordAttributes, name.Str, value.Str)
		return true
	})
	dst = protowire.AppendFixed64(protowire.AppendTag(dst, recordObserved, protowire.Fixed64Type), line.Get("observed").Uint())
	return appendString(dst, recordEventName, line.Get("event").Str)
}

func appendAttribute(dst []byte, field protowire.Number, name, value string) []byte {
	kv := appendString(nil, keyValueKey, name)
	kv = appendBytes(kv, keyValueValue, appendString(nil, anyValueString, value))
	return appendBytes(dst, field, kv)
}

func appendString(dst []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), text)
}

func appendBytes(dst []byte, field protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), data)
}

// rejectedIn parses a response and returns the number of rejected records. Some receivers
// return an empty body, or JSON. A JSON object with other members than the protocol's does not
// come from an OTLP receiver.
func rejectedIn(answer []byte) (rejected int64, ok bool) {
	if len(answer) > 0 && answer[0] == '{' {
		if !gjson.ValidBytes(answer) {
			return 0, false
		}
		known := true
		gjson.ParseBytes(answer).ForEach(func(name, _ gjson.Result) bool {
			known = name.Str == "partialSuccess"
			return known
		})
		if !known {
			return 0, false
		}
		return gjson.GetBytes(answer, "partialSuccess.rejectedLogRecords").Int(), true
	}
	partial, ok := fieldOf(answer, responsePartialSuccess)
	if !ok || partial == nil {
		return 0, ok
	}
	for data := partial; len(data) > 0; {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return 0, false
		}
		data = data[n:]
		if number == partialRejected && kind == protowire.VarintType {
			v, n := protowire.ConsumeVarint(data)
			if n < 0 {
				return 0, false
			}
			return int64(v), true //nolint:gosec // negative is none, as zero
		}
		if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
			return 0, false
		}
		data = data[n:]
	}
	return 0, true
}

// fieldOf returns a field with a message, or nil if there is none. ok is false if data is not a
// message.
func fieldOf(data []byte, field protowire.Number) (message []byte, ok bool) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, false
		}
		data = data[n:]
		if number == field && kind == protowire.BytesType {
			message, n = protowire.ConsumeBytes(data)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return nil, false
		}
		data = data[n:]
	}
	return message, true
}
