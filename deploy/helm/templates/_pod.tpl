{{/* Whether a secret belongs to a workload: list secret component channel. */}}
{{- define "pipeline.wants" -}}
{{- $secret := index . 0 -}}{{- $component := index . 1 -}}{{- $channel := index . 2 -}}
{{- if or (not $secret.components) (has $component $secret.components) -}}
{{- if or (not $secret.channels) (and $channel (has $channel $secret.channels)) -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The pod of a workload: dict root, name, component, channel, args, resources, config (name of the ConfigMap), account,
and optionally values, port, restart.
*/}}
{{- define "pipeline.podSpec" -}}
{{- $root := .root -}}{{- $pod := . -}}{{- $values := default dict .values -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .restart }}
restartPolicy: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ include "pipeline.grace" $root }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with $values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if not .restart }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "pipeline.selector" $root | nindent 8 }}
        notifications/workload: {{ $pod.name }}
  {{- end }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "pipeline.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    {{- with .command }}
    command: {{ toJson . }}
    {{- end }}
    {{- with .args }}
    args: {{ toJson . }}
    {{- end }}
    env: {{ include "pipeline.env" . | nindent 6 }}
    {{- if not .restart }}
    ports:
      - {name: health, containerPort: 9090}
      {{- with .port }}
      - {name: http, containerPort: {{ . }}}
      {{- end }}
    # Slow to start is no reason to be killed: topics, stores and the registry are waited for, and /healthz says so.
    startupProbe:
      httpGet: {path: /healthz, port: health}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /healthz, port: health}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: health}
      periodSeconds: 5
      timeoutSeconds: 5
      failureThreshold: 2
    {{- if .port }}
    # The load balancer forgets the pod before it stops to answer.
    lifecycle:
      preStop:
        sleep: {seconds: 5}
    {{- end }}
    {{- end }}
    resources: {{ toYaml .resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: settings, mountPath: /etc/pipeline, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      - {name: secrets, mountPath: /run/secrets/pipeline, readOnly: true}
      {{- with $root.Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: settings
    configMap: {name: {{ .config }}}
  - name: tmp
    emptyDir: {sizeLimit: {{ default "256Mi" $values.disk }}}
  - name: secrets
    projected:
      defaultMode: 0440
      sources: {{ include "pipeline.secretSources" . | nindent 8 }}
  {{- with $root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "pipeline.secretSources" -}}
{{- $pod := . -}}{{- $sources := list -}}
{{- range .root.Values.secrets -}}
{{- if include "pipeline.wants" (list . $pod.component $pod.channel) -}}
{{- $item := dict "key" .key "path" (default .setting .file) -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secret "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end -}}

{{- define "pipeline.env" -}}
{{- $pod := . -}}
- {name: PIPELINE_CONFIG, value: /etc/pipeline/settings.yaml}
- {name: PIPELINE_HTTP__HOST, value: 0.0.0.0}
- {name: PIPELINE_HTTP__PORT, value: "9090"}
{{- if .root.Values.catalogue }}
- {name: PIPELINE_CATALOGUE__PATH, value: /etc/pipeline/catalogue.yaml}
{{- end }}
{{- if .port }}
- {name: {{ printf "PIPELINE_%s__HOST" (upper .component) }}, value: 0.0.0.0}
- {name: {{ printf "PIPELINE_%s__PORT" (upper .component) }}, value: {{ .port | quote }}}
{{- end }}
{{- range .root.Values.secrets }}
{{- if include "pipeline.wants" (list . $pod.component $pod.channel) }}
{{- $variable := printf "PIPELINE_%s" (.setting | replace "." "__" | upper) }}
- name: {{ if eq (default "value" .as) "path" }}{{ $variable }}{{ else }}{{ $variable }}_FILE{{ end }}
  value: /run/secrets/pipeline/{{ default .setting .file }}
{{- end }}
{{- end }}
{{- range $name, $value := (default dict .values).env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}
