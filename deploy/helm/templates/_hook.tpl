{{/* Annotations of an object that is made anew before each install and upgrade; takes its weight. */}}
{{- define "pipeline.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}
