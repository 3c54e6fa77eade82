{{- define "vae-serve.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "vae-serve.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vae-serve.labels" -}}
{{ include "vae-serve.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The secret of the keys; empty without keys. */}}
{{- define "vae-serve.keys" -}}
{{- if .Values.keys.existingSecret }}{{ .Values.keys.existingSecret }}{{ else if or .Values.keys.apiKeysSha256 .Values.keys.adminKeysSha256 }}{{ include "vae-serve.name" . }}-keys{{ end }}
{{- end }}

{{/* A setting as text: whole numbers without an exponent. */}}
{{- define "vae-serve.text" -}}
{{- if kindIs "float64" . }}{{ if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}{{ else }}{{ . }}{{ end }}
{{- end }}
