package packaging

import (
	"bytes"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// render renders the chart as helm template does, and returns its documents by kind.
func render(t *testing.T, values string) (map[string]map[string]any, error) {
	t.Helper()
	chart, err := loader.Load("chart")
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: "audit", Namespace: "prod", IsInstall: true}, nil)
	if err != nil {
		return nil, err // the values do not have the schema's form
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	docs := map[string]map[string]any{}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			docs["NOTES"] = map[string]any{"text": text}
			continue
		}
		for part := range strings.SplitSeq(text, "\n---\n") {
			var doc map[string]any
			if err := yaml.UnmarshalStrict([]byte(part), &doc); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, part)
			}
			if doc == nil {
				continue
			}
			kind, _ := doc["kind"].(string)
			if strings.HasSuffix(at(t, doc, "metadata", "name").(string), "-relays") {
				kind += " of the relays"
			}
			if docs[kind] != nil || kind == "" {
				t.Fatalf("%s: a second %q", name, kind)
			}
			docs[kind] = doc
		}
	}
	return docs, nil
}

// at follows keys and indexes.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok || m[s] == nil {
				t.Fatalf("%v: no %s", path, s)
			}
			v = m[s]
		case int:
			list, ok := v.([]any)
			if !ok || s >= len(list) {
				t.Fatalf("%v: no item %d", path, s)
			}
			v = list[s]
		}
	}
	return v
}

const chartValues = `
config:
  tokens:
    - {name: litellm, token: "${LITELLM_TOKEN}", roles: [ingest]}
    - {name: oncall, token: "${ONCALL_TOKEN}", roles: [operate]}
  filters: {hide: {redact: {preset: litellm}}}
  callbacks:
    - {name: archive, filters: [hide], sink: {s3: {bucket: audit-prod, region: eu-central-1}}}
existingSecret: audit-secrets
persistence: {size: 5Gi, storageClass: fast}
monitoring: {enabled: true, tokenSecret: {name: scrape, key: token}}
podLabels: {team: security}
env: [{name: TZ, value: UTC}]
nodeSelector: {disk: ssd}
volumes: [{name: modules, configMap: {name: guests}}]
volumeMounts: [{name: modules, mountPath: /modules, readOnly: true}]
priorityClassName: high
`

func TestChart(t *testing.T) {
	docs, err := render(t, chartValues)
	if err != nil {
		t.Fatal(err)
	}
	// The relay takes the configuration that the chart makes.
	file := filepath.Join(t.TempDir(), "auditrelay.yaml")
	text := at(t, docs["ConfigMap"], "data", "auditrelay.yaml").(string)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "validate", file)
	cmd.Env = append(os.Environ(), "LITELLM_TOKEN=7d2f9a4c1be8063f5a91c7de20b4863f", "ONCALL_TOKEN=1c9e4b7a20d5f8361e7ab4905cd2f683")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
	pod := at(t, docs["StatefulSet"], "spec", "template", "spec")
	container := at(t, pod, "containers", 0)
	for _, c := range []struct {
		of   any
		path []any
		want any
	}{
		{docs["StatefulSet"], []any{"metadata", "name"}, "audit-auditrelay"},
		{docs["StatefulSet"], []any{"spec", "replicas"}, 1.0},
		{docs["StatefulSet"], []any{"spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage"}, "5Gi"},
		{docs["StatefulSet"], []any{"spec", "volumeClaimTemplates", 0, "spec", "storageClassName"}, "fast"},
		{docs["StatefulSet"], []any{"spec", "template", "metadata", "labels", "team"}, "security"},
		{pod, []any{"automountServiceAccountToken"}, false},
		{pod, []any{"securityContext", "runAsNonRoot"}, true},
		{pod, []any{"nodeSelector", "disk"}, "ssd"},
		{pod, []any{"priorityClassName"}, "high"},
		{pod, []any{"volumes", 2, "configMap", "name"}, "guests"},
		{container, []any{"volumeMounts", 3, "mountPath"}, "/modules"},
		{docs["StatefulSet"], []any{"spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"}, "Retain"},
		{container, []any{"image"}, "auditrelay:dev"},
		{container, []any{"args", 2}, "/etc/auditrelay/auditrelay.yaml"},
		{container, []any{"securityContext", "readOnlyRootFilesystem"}, true},
		{container, []any{"securityContext", "capabilities", "drop", 0}, "ALL"},
		{container, []any{"envFrom", 0, "secretRef", "name"}, "audit-secrets"},
		{container, []any{"env", 0, "name"}, "TZ"},
		{container, []any{"readinessProbe", "httpGet", "path"}, "/readyz"},
		{container, []any{"livenessProbe", "httpGet", "scheme"}, "HTTP"},
		{docs["ServiceAccount"], []any{"automountServiceAccountToken"}, false},
		{docs["ServiceMonitor"], []any{"spec", "endpoints", 0, "authorization", "credentials", "name"}, "scrape"},
		{docs["Service"], []any{"spec", "ports", 0, "port"}, 8787.0},
	} {
		if got := at(t, c.of, c.path...); got != c.want {
			t.Errorf("%v: %v, want %v", c.path, got, c.want)
		}
	}
	// The service finds the pods.
	selector := at(t, docs["Service"], "spec", "selector").(map[string]any)
	labels := at(t, docs["StatefulSet"], "spec", "template", "metadata", "labels").(map[string]any)
	for key, value := range selector {
		if labels[key] != value {
			t.Errorf("the pods are not %s=%v", key, value)
		}
	}
	// The image's user owns the volume; the ports are the image's.
	image, err := os.ReadFile("Dockerfile")
	if err != nil || !regexp.MustCompile(`(?m)^USER 65532:65532$`).Match(image) || at(t, pod, "securityContext", "fsGroup") != 65532.0 || !bytes.Contains(image, []byte("EXPOSE 8787")) {
		t.Error("the chart and the image differ")
	}
	if rules := at(t, docs["PrometheusRule"], "spec", "groups").([]any); len(rules) == 0 {
		t.Error("no rules")
	}
	own, err := os.ReadFile("monitoring/alerts.rules.yaml")
	if copied, err2 := os.ReadFile("chart/files/alerts.rules.yaml"); err != nil || err2 != nil || !bytes.Equal(own, copied) {
		t.Error("chart/files/alerts.rules.yaml is not monitoring/alerts.rules.yaml: copy it")
	}
}

// Another configuration is another pod; the same is the same.
func TestChartRestartsForAChange(t *testing.T) {
	sum := func(values string) any {
		docs, err := render(t, values)
		if err != nil {
			t.Fatal(err)
		}
		return at(t, docs["StatefulSet"], "spec", "template", "metadata", "annotations", "checksum/config")
	}
	if a, b := sum(chartValues), sum(strings.Replace(chartValues, "audit-prod", "audit-test", 1)); a == b || a != sum(chartValues) {
		t.Errorf("%v and %v", a, b)
	}
}

func TestChartWithoutMuch(t *testing.T) {
	if _, err := render(t, ""); err == nil || !strings.Contains(err.Error(), "so it needs tokens") {
		t.Errorf("without tokens: %v", err)
	}
	docs, err := render(t, `{config: {ingest: {tokens: [{name: l, token: "${T}"}]}}, serviceAccount: {create: false}, tls: true, image: {tag: v1}}`)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for kind := range docs {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "ConfigMap NOTES Service StatefulSet" {
		t.Errorf("it has %s", got)
	}
	container := at(t, docs["StatefulSet"], "spec", "template", "spec", "containers", 0)
	if at(t, container, "startupProbe", "httpGet", "scheme") != "HTTPS" || at(t, container, "image") != "auditrelay:v1" || at(t, docs["StatefulSet"], "spec", "template", "spec", "serviceAccountName") != "default" {
		t.Errorf("%v", container)
	}
	if notes := at(t, docs["NOTES"], "text").(string); !strings.Contains(notes, "https://audit-auditrelay.prod:8787/v1/events") || !strings.Contains(notes, "No callback") {
		t.Error(notes)
	}
	if _, err := render(t, strings.Replace(chartValues, ", key: token", "", 1)); err == nil || !strings.Contains(err.Error(), "monitoring.tokenSecret.key") {
		t.Errorf("without the token's key: %v", err)
	}
}

// The S3 endpoint gets a port of the service, and listens where the service leads.
func TestChartWithS3(t *testing.T) {
	docs, err := render(t, `
config:
  tokens: [{name: oncall, token: "${T}", roles: [operate]}]
  ingest: {s3: {keys: [{name: l, access_key_id: AKIDEXAMPLE, secret_access_key: "${K}"}]}, limits: {events: 5}}
  callbacks: []
s3: {enabled: true, port: 9000}
persistence: {existingClaim: mine}
`)
	if err != nil {
		t.Fatal(err)
	}
	text := at(t, docs["ConfigMap"], "data", "auditrelay.yaml").(string)
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	pod := at(t, docs["StatefulSet"], "spec", "template", "spec")
	for _, c := range []struct {
		of   any
		path []any
		want any
	}{
		{config, []any{"ingest", "s3", "listen"}, "0.0.0.0:8788"},
		{config, []any{"ingest", "s3", "keys", 0, "name"}, "l"},
		{config, []any{"ingest", "limits", "events"}, 5.0},
		{docs["Service"], []any{"spec", "ports", 1, "port"}, 9000.0},
		{docs["Service"], []any{"spec", "ports", 1, "targetPort"}, "s3"},
		{pod, []any{"containers", 0, "ports", 1, "containerPort"}, 8788.0},
		{pod, []any{"volumes", 0, "persistentVolumeClaim", "claimName"}, "mine"},
	} {
		if got := at(t, c.of, c.path...); got != c.want {
			t.Errorf("%v: %v, want %v", c.path, got, c.want)
		}
	}
	if spec := at(t, docs["StatefulSet"], "spec").(map[string]any); spec["volumeClaimTemplates"] != nil {
		t.Error("a claim beside the existing one")
	}
}

const fleetValues = `
config:
  tokens: [{name: litellm, token: "${LITELLM_TOKEN}", roles: [ingest]}]
  proofs: {key: "file:/etc/fleet/proof.key"}
  tls: {cert: /etc/fleet/relay.pem, key: /etc/fleet/relay.key}
  journal: {postgres: {url: "postgresql://auditrelay:${DB_PASSWORD}@db1,db2/postgres?target_session_attrs=read-write", takeover: 8s}}
  callbacks: [{name: archive, sink: {s3: {bucket: audit-prod, region: eu-central-1}}}]
replicas: 3
tls: true
fleet: {ca: /etc/fleet/ca.pem}
monitoring: {enabled: true}
`

// Several replicas are a fleet, whose relays reach each other by names of their own.
func TestChartWithAFleet(t *testing.T) {
	docs, err := render(t, fleetValues)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(at(t, docs["ConfigMap"], "data", "auditrelay.yaml").(string)), &config); err != nil {
		t.Fatal(err)
	}
	spec := at(t, docs["StatefulSet"], "spec")
	pod := at(t, spec, "template", "spec")
	fleet := []any{"journal", "postgres", "fleet"}
	for _, c := range []struct {
		of   any
		path []any
		want any
	}{
		{config, append(fleet, "name"), "${POD_NAME}"},
		{config, append(fleet, "address"), "https://${POD_NAME}.audit-auditrelay-relays.prod.svc:8787"},
		{config, append(fleet, "ca"), "/etc/fleet/ca.pem"},
		{config, []any{"journal", "postgres", "takeover"}, "8s"},
		{spec, []any{"replicas"}, 3.0},
		{spec, []any{"serviceName"}, "audit-auditrelay-relays"},
		{spec, []any{"podManagementPolicy"}, "Parallel"},
		{spec, []any{"volumeClaimTemplates", 0, "metadata", "name"}, "data"},
		{pod, []any{"containers", 0, "env", 0, "valueFrom", "fieldRef", "fieldPath"}, "metadata.name"},
		{pod, []any{"affinity", "podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution", 0, "podAffinityTerm", "topologyKey"}, "kubernetes.io/hostname"},
		{docs["Service of the relays"], []any{"spec", "clusterIP"}, "None"},
		{docs["Service of the relays"], []any{"spec", "publishNotReadyAddresses"}, true},
		{docs["PodDisruptionBudget"], []any{"spec", "maxUnavailable"}, 1.0},
	} {
		if got := at(t, c.of, c.path...); got != c.want {
			t.Errorf("%v: %v, want %v", c.path, got, c.want)
		}
	}
	// Prometheus finds each relay once: by the port of the service for all.
	if own, scraped := at(t, docs["Service of the relays"], "spec", "ports", 0, "name"), at(t, docs["ServiceMonitor"], "spec", "endpoints", 0, "port"); own == scraped {
		t.Errorf("both services have port %s", own)
	}
	// The relay takes the configuration that the chart makes. That of its files that it
	// reads at once is not there.
	file := filepath.Join(t.TempDir(), "auditrelay.yaml")
	text := at(t, docs["ConfigMap"], "data", "auditrelay.yaml").(string)
	server := httptest.NewTLSServer(nil)
	server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{"proof.key": []byte("no key\n"), "relay.pem": certificate, "relay.key": nil, "ca.pem": certificate} {
		path := filepath.Join(filepath.Dir(file), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, "/etc/fleet/"+name, path)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "validate", file)
	cmd.Env = append(os.Environ(), "LITELLM_TOKEN=7d2f9a4c1be8063f5a91c7de20b4863f", "DB_PASSWORD=x", "POD_NAME=audit-auditrelay-0")
	if out, err := cmd.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("proofs.key")) { // the key is none
		t.Errorf("%v\n%s\n%s", err, out, text)
	} else if bytes.Contains(out, []byte("journal.postgres.fleet")) {
		t.Errorf("%s\n%s", out, text)
	}
	for _, c := range []struct{ from, to, want string }{
		{"tls: true\nfleet: {ca: /etc/fleet/ca.pem}\n", "", "fleet.plaintext"},
		{"${DB_PASSWORD}", "in-clear-text", "no place for a password"},
		{`{postgres: {url: "postgresql://auditrelay:${DB_PASSWORD}@db1,db2/postgres?target_session_attrs=read-write", takeover: 8s}}`, "{}", "journal.postgres.url"},
		{"tls: true\n", "tls: true\npersistence: {existingClaim: mine}\n", "existingClaim"},
		{"replicas: 3", "replicas: 0", "replicas"},
	} {
		values := strings.Replace(fleetValues, c.from, c.to, 1)
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), c.want) || values == fleetValues {
			t.Errorf("%s: %v, want %s", values, err, c.want)
		}
	}
	plain, err := render(t, strings.Replace(fleetValues, "tls: true\nfleet: {ca: /etc/fleet/ca.pem}", "fleet: {plaintext: true}", 1))
	if err != nil {
		t.Fatal(err)
	}
	if text := at(t, plain["ConfigMap"], "data", "auditrelay.yaml").(string); !strings.Contains(text, "plaintext: true") || !strings.Contains(text, "http://${POD_NAME}.") {
		t.Error(text)
	}
	// One relay with its journal on Postgres is no fleet.
	one, err := render(t, strings.Replace(fleetValues, "replicas: 3", "replicas: 1", 1))
	if err != nil {
		t.Fatal(err)
	}
	if text := at(t, one["ConfigMap"], "data", "auditrelay.yaml").(string); one["PodDisruptionBudget"] != nil || one["Service of the relays"] != nil || strings.Contains(text, "fleet:") || at(t, one["StatefulSet"], "spec", "serviceName") != "audit-auditrelay" {
		t.Error(text)
	}
}

// A mistake in the values is an error, and secrets do not get into a ConfigMap.
func TestChartRefuses(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{`{config: {tokens: [{name: l, token: "${T}"}]}, existingSecrets: x}`, "existingSecrets"},
		{`{config: {tokens: [{name: l, token: "${T}"}]}, persistence: {sizes: 1Gi}}`, "sizes"},
		{`{config: {tokens: [{name: l, token: "${T}"}]}, service: {port: eighty}}`, "port"},
		{`{config: {tokens: [{name: l, token: 7d2f9a4c1be8063f5a91c7de20b4863f, roles: [ingest]}]}}`, "token l: a ConfigMap is no place for a secret"},
		{`{config: {ingest: {tokens: [{name: l, token: plain}]}}}`, "token l: a ConfigMap is no place for a secret"},
	} {
		if _, err := render(t, c.values); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "7d2f9a4c") {
			t.Errorf("%s: %v", c.values, err)
		}
	}
	for _, token := range []string{"${T}", "os.environ/T", "file:/run/secrets/t", "sha256:0"} {
		if _, err := render(t, `{config: {tokens: [{name: l, token: "`+token+`"}]}}`); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
}
