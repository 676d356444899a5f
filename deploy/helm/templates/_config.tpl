{{- define "pipeline.configData" -}}
settings.yaml: | {{- toYaml .Values.settings | nindent 2 }}
{{- with .Values.catalogue }}
catalogue.yaml: | {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
