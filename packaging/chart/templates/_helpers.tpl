{{- define "auditrelay.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "auditrelay.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "auditrelay.labels" -}}
{{ include "auditrelay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "auditrelay.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "auditrelay.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "auditrelay.fleet" -}}
{{- if gt (int .Values.replicas) 1 }}true{{ end }}
{{- end }}

{{/* The service by which the relays of a fleet reach each other. */}}
{{- define "auditrelay.relays" -}}
{{ include "auditrelay.name" . }}-relays
{{- end }}

{{- define "auditrelay.config" -}}
{{- if and (not .Values.config.tokens) (not (dig "ingest" "tokens" nil .Values.config)) (not (dig "oidc" "issuer" "" .Values.config)) }}
{{- fail "config.tokens: the relay listens on all addresses of its pod, so it needs tokens; name their secrets as ${NAME} and give them by existingSecret" }}
{{- end }}
{{- $tokens := concat (default (list) .Values.config.tokens) (default (list) (dig "ingest" "tokens" nil .Values.config)) }}
{{- range $tokens }}
{{- if not (regexMatch "^(\\$\\{|os\\.environ/|file:|sha256:|$)" (toString (default "" .token))) }}
{{- fail (printf "token %s: a ConfigMap is no place for a secret: name it as ${NAME}, and give it by existingSecret" (toString .name)) }}
{{- end }}
{{- end }}
{{- $own := dict "listen" "0.0.0.0:8787" "data_dir" "/var/lib/auditrelay/data" }}
{{- if .Values.s3.enabled }}
{{- $_ := set $own "ingest" (dict "s3" (dict "listen" "0.0.0.0:8788")) }}
{{- end }}
{{- $url := dig "journal" "postgres" "url" "" .Values.config }}
{{- if regexMatch "://[^/@]*:[^/@$]+@|password *= *[^$ ]" (toString $url) }}
{{- fail "config.journal.postgres.url: a ConfigMap is no place for a password: name it as ${NAME}, and give it by existingSecret" }}
{{- end }}
{{- if include "auditrelay.fleet" . }}
{{- if not $url }}
{{- fail "replicas: several relays share a journal on Postgres: set config.journal.postgres.url, or one replica" }}
{{- end }}
{{- if .Values.persistence.existingClaim }}
{{- fail "persistence.existingClaim: each relay of a fleet has a volume of its own: leave it empty, or set one replica" }}
{{- end }}
{{- if not (or .Values.tls .Values.fleet.plaintext) }}
{{- fail "replicas: the relays of a fleet send requests and a secret to each other: set config.tls and tls: true, or fleet.plaintext: true where the network itself encrypts" }}
{{- end }}
{{- $address := printf "%s://${POD_NAME}.%s.%s.svc:8787" (ternary "https" "http" .Values.tls) (include "auditrelay.relays" .) .Release.Namespace }}
{{- $fleet := dict "name" "${POD_NAME}" "address" $address }}
{{- if .Values.fleet.ca }}{{ $_ := set $fleet "ca" .Values.fleet.ca }}{{ end }}
{{- if not .Values.tls }}{{ $_ := set $fleet "plaintext" true }}{{ end }}
{{- $_ := set $own "journal" (dict "postgres" (dict "fleet" $fleet)) }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}
