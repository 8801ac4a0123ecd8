{{/*
A program: its ServiceAccount, Deployment, PodDisruptionBudget and the Service of its ops port. Called with a dict of
root, program, env (of this program, text), secrets (sources of a projected volume, text), mounts and volumes (text), ports (text),
lifecycle (text).
*/}}
{{- define "meet.workload" -}}
{{- $root := .root }}{{ $program := .program }}{{ $values := index $root.Values $program }}
{{- $name := printf "%s-%s" (include "meet.name" $root) $program }}
{{- $ops := include "meet.opsPort" $program }}
{{- $messaging := $root.Values.messaging }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "meet.labels" (list $root $program) | nindent 4 }}
  {{- with $values.serviceAccount.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "meet.labels" (list $root $program) | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels: {{- include "meet.selector" (list $root $program) | nindent 6 }}
  template:
    metadata:
      labels: {{- include "meet.labels" (list $root $program) | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      # The programs stop within 10 s; the gateway sleeps 3 s before.
      terminationGracePeriodSeconds: 15
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: {{ $program }}
          image: {{ include "meet.image" (list $root $program) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          env:
            {{- print (include "meet.commonEnv" (list $root $program)) .env (include "meet.ownEnv" $values.env) | trim | nindent 12 }}
          ports:
            {{- with get . "ports" }}{{ . | trim | nindent 12 }}{{ end }}
            - {name: ops, containerPort: {{ $ops }}}
          # A start waits for Postgres and NATS and migrates, for 2 minutes at most.
          startupProbe:
            httpGet: {path: /readyz, port: ops}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 30
          # A dependency that is down is no reason to restart: /healthz does not ask them.
          livenessProbe:
            httpGet: {path: /healthz, port: ops}
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 3
          readinessProbe:
            httpGet: {path: /readyz, port: ops}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          {{- with get . "lifecycle" }}
          lifecycle: {{- . | trim | nindent 12 }}
          {{- end }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: secrets, mountPath: /run/secrets/meet, readOnly: true}
            {{- if $messaging.tlsExistingSecret }}
            - {name: nats-tls, mountPath: /run/secrets/nats-tls, readOnly: true}
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              - secret:
                  name: {{ $messaging.existingSecret }}
                  items: [{key: {{ $program }}, path: nats-password}]
              {{- with get . "secrets" }}{{ . | trim | nindent 14 }}{{ end }}
        {{- if $messaging.tlsExistingSecret }}
        - name: nats-tls
          secret: {secretName: {{ $messaging.tlsExistingSecret }}, defaultMode: 0440}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "meet.selector" (list $root $program) | nindent 14 }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- include "meet.labels" (list $root $program) | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready keeps no node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "meet.selector" (list $root $program) | nindent 6 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-ops
  labels:
    {{- include "meet.labels" (list $root $program) | nindent 4 }}
    meet-middleware/port: ops
spec:
  clusterIP: None
  # What is not ready is measured too.
  publishNotReadyAddresses: true
  selector: {{- include "meet.selector" (list $root $program) | nindent 4 }}
  ports:
    - {name: ops, port: {{ $ops }}, targetPort: ops}
{{- end }}
