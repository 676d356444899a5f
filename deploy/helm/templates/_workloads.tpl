{{/*
Everything that runs all the time, as one YAML list: name, component, channel, args, reads (topics with their groups),
needs (what its network policy opens), port (public, if any), and the values of its entry over the defaults.
*/}}
{{- define "pipeline.workloads" -}}
{{- include "pipeline.checkTopics" . -}}
{{- $root := . -}}
{{- range .Values.workers }}
{{- $slug := .channel | replace "_" "-" }}
- name: {{ printf "worker-%s" .name }}
  component: worker
  channel: {{ .channel }}
  args: [worker, --channel, {{ .channel }}, --priority, {{ join "," .priorities | quote }}]
  reads:
    {{- range .priorities }}
    - {topic: {{ printf "notifications.%s.%s" $slug . }}, group: {{ printf "notification-%s-%s" $slug . }}}
    {{- end }}
  needs: [kafka, registry, postgres, redis{{ if ne .channel "in_app" }}, internet{{ end }}]
  values: {{ include "pipeline.merged" (list $root .) | nindent 4 }}
{{- end }}
{{- if .Values.router.enabled }}
- name: router
  component: router
  args: [router]
  reads: [{topic: notifications.ingest, group: notification-router}]
  needs: [kafka, registry, postgres, redis]
  values: {{ include "pipeline.merged" (list $root .Values.router) | nindent 4 }}
{{- end }}
{{- if .Values.scheduler.enabled }}
- name: scheduler
  component: scheduler
  args: [scheduler]
  reads: [{topic: notifications.deferred, group: notification-scheduler}]
  needs: [kafka, registry, postgres, redis]
  values: {{ include "pipeline.merged" (list $root .Values.scheduler) | nindent 4 }}
{{- end }}
{{- if .Values.store.enabled }}
- name: store
  component: store
  args: [store]
  reads: [{topic: notifications.delivery-status, group: notification-store}]
  needs: [kafka, registry, postgres, internet]
  values: {{ include "pipeline.merged" (list $root .Values.store) | nindent 4 }}
{{- end }}
{{- if .Values.accounts.enabled }}
- name: accounts
  component: accounts
  args: [accounts, --serve, --every, {{ .Values.accounts.every | quote }}]
  reads: []
  needs: [kafka, registry]
  values: {{ include "pipeline.merged" (list $root .Values.accounts) | nindent 4 }}
{{- end }}
{{- if .Values.gateway.enabled }}
- name: gateway
  component: gateway
  args: [gateway]
  reads: []
  needs: [kafka, registry, postgres, redis, internet]
  port: {{ .Values.gateway.port }}
  values: {{ include "pipeline.merged" (list $root .Values.gateway) | nindent 4 }}
{{- end }}
{{- if .Values.realtime.enabled }}
- name: realtime
  component: realtime
  args: [realtime]
  reads: []
  needs: [postgres, redis, internet]
  port: {{ .Values.realtime.port }}
  values: {{ include "pipeline.merged" (list $root .Values.realtime) | nindent 4 }}
{{- end }}
{{- end -}}

{{/* An entry over the defaults; the ceiling of what reads is the partition count. */}}
{{- define "pipeline.merged" -}}
{{- $root := index . 0 -}}
{{- $values := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (index . 1)) -}}
{{- toYaml $values -}}
{{- end -}}

{{- define "pipeline.maxReplicas" -}}
{{- $root := index . 0 -}}{{- $workload := index . 1 -}}
{{- $most := int $workload.values.maxReplicas -}}
{{- if $workload.reads -}}{{- $most = min $most (int $root.Values.topics.partitions) -}}{{- end -}}
{{- max $most (include "pipeline.minReplicas" . | int) -}}
{{- end -}}

{{- define "pipeline.minReplicas" -}}
{{- $root := index . 0 -}}{{- $workload := index . 1 -}}
{{- $least := int $workload.values.replicas -}}
{{- if $workload.reads -}}{{- $least = min $least (int $root.Values.topics.partitions) -}}{{- end -}}
{{- $least -}}
{{- end -}}

{{/* Refuses workers that leave a topic unread, or read one twice. */}}
{{- define "pipeline.checkTopics" -}}
{{- $readers := dict -}}{{- $names := dict -}}
{{- range .Values.workers -}}
{{- if hasKey $names .name -}}{{- fail (printf "workers: two are named %q; give each a name of its own" .name) -}}{{- end -}}
{{- $_ := set $names .name true -}}
{{- $worker := . -}}
{{- range .priorities -}}
{{- $topic := printf "%s × %s" $worker.channel . -}}
{{- if hasKey $readers $topic -}}
{{- fail (printf "workers: %s is read by %q and by %q; take it out of one" $topic (get $readers $topic) $worker.name) -}}
{{- end -}}
{{- $_ := set $readers $topic $worker.name -}}
{{- end -}}
{{- end -}}
{{- range $channel := list "push" "email" "sms" "in_app" -}}
{{- range $priority := list "critical" "high" "normal" "low" -}}
{{- $topic := printf "%s × %s" $channel $priority -}}
{{- if not (hasKey $readers $topic) -}}
{{- fail (printf "workers: nobody reads %s; add it to an entry's priorities or add an entry" $topic) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
