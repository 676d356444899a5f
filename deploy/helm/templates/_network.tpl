{{/* Egress to DNS and to each named dependency: list root names. */}}
{{- define "pipeline.egress" -}}
{{- $policy := (index . 0).Values.networkPolicy -}}
- to: {{ toYaml $policy.dns.to | nindent 4 }}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- range index . 1 }}
{{- $peer := get $policy . }}
- to: {{ toYaml $peer.to | nindent 4 }}
  ports:
    {{- range $peer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end -}}
