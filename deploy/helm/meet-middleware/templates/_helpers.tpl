{{- define "meet.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "meet" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-meet" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that select: they may never change. Called with (list $ "gateway"). */}}
{{- define "meet.selector" -}}
app.kubernetes.io/name: meet-middleware
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "meet.labels" -}}
{{ include "meet.selector" . }}
app.kubernetes.io/part-of: meet-middleware
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "meet.image" -}}
{{- $root := index . 0 }}{{ $program := index . 1 }}{{ $image := $root.Values.image }}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}/{{ $program }}:
{{- (index $root.Values $program).tag | default $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- define "meet.opsPort" -}}
{{- get (dict "gateway" "9100" "meetings" "9101" "scheduler" "9102") . }}
{{- end }}

{{/* The nats chart's Service has the release's name where that says nats. */}}
{{- define "meet.natsURL" -}}
{{- .Values.messaging.url | default (printf "nats://%s:4222" (ternary .Release.Name (printf "%s-nats" .Release.Name) (contains "nats" .Release.Name))) }}
{{- end }}

{{/* The Secret that holds the database's URL: CloudNativePG makes one named after its cluster. */}}
{{- define "meet.postgresSecret" -}}
{{- .Values.postgres.existingSecret | default (printf "%s-postgres-app" (include "meet.name" .)) }}
{{- end }}

{{- define "meet.publicHosts" -}}
{{- $hosts := .Values.gateway.allowedHosts }}
{{- if not $hosts }}
{{- $hosts = .Values.ingress.hosts }}
{{- with .Values.publicURL }}{{ $hosts = append $hosts (urlParse .).hostname }}{{ end }}
{{- end }}
{{- $hosts | uniq | join "," }}
{{- end }}

{{/* Called with (list name value); nothing where there is no value. */}}
{{- define "meet.env" -}}
{{- $name := index . 0 }}
{{- with index . 1 }}
- name: {{ $name }}
  value: {{ (kindIs "slice" .) | ternary (. | toStrings | join ",") (toString .) | quote }}
{{- end }}
{{- end }}

{{/* Labels that the nats chart gives its servers. */}}
{{- define "meet.natsSelector" -}}
app.kubernetes.io/name: nats
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: nats
{{- end }}

{{/* The port of a URL. */}}
{{- define "meet.port" -}}
{{- $url := urlParse . }}{{ $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}

{{/* A batch that is done in seconds adds nobody, and nobody leaves between two of them. */}}
{{- define "meet.scaleBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 30
  policies: [{type: Pods, value: 2, periodSeconds: 60}]
scaleDown:
  stabilizationWindowSeconds: 300
  policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end }}

{{/* Settings that every program has, and those of its values. */}}
{{- define "meet.commonEnv" }}
{{- $values := (index . 0).Values }}{{ $program := index . 1 }}
{{- include "meet.env" (list "MEET_OPS_ADDR" (printf "0.0.0.0:%s" (include "meet.opsPort" $program))) }}
{{- include "meet.env" (list "LOG_LEVEL" $values.logLevel) }}
{{- include "meet.env" (list "NATS_URL" (include "meet.natsURL" (index . 0))) }}
{{- include "meet.env" (list "NATS_USER" $program) }}
{{- include "meet.env" (list "NATS_PASSWORD_FILE" "/run/secrets/meet/nats-password") }}
{{- include "meet.env" (list "MEET_NATS_REPLICAS" $values.messaging.replicas) }}
{{- if $values.messaging.tlsExistingSecret }}
{{- include "meet.env" (list "NATS_CA_FILE" "/run/secrets/nats-tls/ca.crt") }}
{{- if $values.messaging.tlsClientCertificate }}
{{- include "meet.env" (list "NATS_CERT_FILE" "/run/secrets/nats-tls/tls.crt") }}
{{- include "meet.env" (list "NATS_KEY_FILE" "/run/secrets/nats-tls/tls.key") }}
{{- end }}
{{- end }}
{{- include "meet.env" (list "OTEL_EXPORTER_OTLP_ENDPOINT" $values.tracing.endpoint) }}
{{- end }}

{{- define "meet.ownEnv" }}
{{- range $name, $value := . }}
{{- include "meet.env" (list $name $value) }}
{{- end }}
{{- end }}
