{{- define "certbound.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "certbound.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "certbound.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "certbound.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "certbound.selectorLabels" -}}
app.kubernetes.io/name: {{ include "certbound.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "certbound.labels" -}}
{{- $own := include "certbound.selectorLabels" . | fromYaml }}
{{- $own = set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $own = set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $own = set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{- define "certbound.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "certbound.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name the ServiceAccount that is there already, or set serviceAccount.create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "certbound.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- /* What the ServiceAccount is granted where clients are served: cluster-wide, or in each served namespace. */}}
{{- define "certbound.tenantRules" -}}
# What is published, and the CAs for terminators. The admission policies hold every write to Secrets of our own.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
{{- $drivers := .Values.terminators.enabled }}
{{- if include "certbound.annotatesIngresses" . }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch, patch]
{{- else if include "certbound.looksAtTerminators" . }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
{{- end }}
{{- if has "traefik" $drivers }}
- apiGroups: [traefik.io]
  resources: [tlsoptions, middlewares]
  verbs: [get, list, watch, create, update, delete]
{{- end }}
{{- if include "certbound.looksAtTerminators" . }}
# Whatever asks for certificates, each of these may lead around it to the same Service.
- apiGroups: [projectcontour.io]
  resources: [httpproxies]
  verbs: [list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, httproutes, grpcroutes]
  verbs: [list, watch]
- apiGroups: [traefik.io]
  resources: [ingressroutes]
  verbs: [list, watch]
{{- end }}
{{- if has "contour" $drivers }}
- apiGroups: [projectcontour.io]
  resources: [httpproxies]
  verbs: [patch]
{{- end }}
{{- if or (has "gateway-api" $drivers) (has "envoy-gateway" $drivers) }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [patch]
# CAs for Gateways. The admission policies hold every write to ConfigMaps of our own.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, delete]
{{- end }}
{{- if has "envoy-gateway" $drivers }}
- apiGroups: [gateway.envoyproxy.io]
  resources: [clienttrafficpolicies]
  verbs: [get, list, watch, create, update, delete]
{{- end }}
{{- end }}

{{- /* Not empty where terminators are configured, or proved, at all. */}}
{{- define "certbound.looksAtTerminators" -}}
{{- if or .Values.terminators.enabled .Values.terminators.manual.controllers }}yes{{ end }}
{{- end }}

{{- /* Not empty where a driver that is switched on writes annotations of Ingresses. */}}
{{- define "certbound.annotatesIngresses" -}}
{{- range .Values.terminators.enabled }}{{ if has . (list "nginx" "traefik" "haproxy" "aws-alb") }}{{ . }}{{ end }}{{ end }}
{{- end }}

{{- /* Annotations of Ingresses that the drivers write, as a list of CEL. */}}
{{- define "certbound.ingressAnnotations" -}}
{{- $of := dict
  "nginx" (list "nginx.ingress.kubernetes.io/auth-tls-secret" "nginx.ingress.kubernetes.io/auth-tls-verify-client"
    "nginx.ingress.kubernetes.io/auth-tls-verify-depth" "nginx.ingress.kubernetes.io/auth-tls-pass-certificate-to-upstream")
  "traefik" (list "traefik.ingress.kubernetes.io/router.tls.options" "traefik.ingress.kubernetes.io/router.middlewares")
  "haproxy" (list "haproxy-ingress.github.io/auth-tls-secret" "haproxy-ingress.github.io/auth-tls-verify-client"
    "haproxy-ingress.github.io/auth-tls-cert-header" "haproxy-ingress.github.io/auth-tls-strict")
  "aws-alb" (list "alb.ingress.kubernetes.io/mutual-authentication") }}
{{- $keys := list }}
{{- range .Values.terminators.enabled }}
{{- $keys = concat $keys (get $of . | default list) }}
{{- end }}
{{- $keys | default list | toJson }}
{{- end }}

{{- define "certbound.eventRules" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "certbound.clusterRules" -}}
# In scoped mode too, though only those of served namespaces are looked at: a Role in a namespace that is deleted goes
# before the clients in it, and without rights on them they could not be deregistered and the namespace would hang.
- apiGroups: [certbound.dev]
  resources: [oauthclients]
  verbs: [list, watch, patch]
- apiGroups: [certbound.dev]
  resources: [oauthclients/status]
  verbs: [update]
- apiGroups: [certbound.dev]
  resources: [authorizationservers, clientcertificateissuers]
  verbs: [list, watch, patch]
- apiGroups: [certbound.dev]
  resources: [authorizationservers/status, clientcertificateissuers/status]
  verbs: [update]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
{{- if include "certbound.looksAtTerminators" . }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [list, watch]
{{- end }}
# Before anything is deregistered: deleting a CRD marks all its objects deleted, which nobody meant.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [oauthclients.certbound.dev, clientcertificateissuers.certbound.dev]
  verbs: [get]
{{- end }}

{{- /* In the operator's own namespace: client records, CAs, credentials of servers; identity claims. */}}
{{- define "certbound.ownRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, delete]
# Leader election. A right to create cannot name the object.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "certbound.leaseName" . }}]
  # watch: a release is heard of at once.
  verbs: [get, watch, update]
{{- end }}

{{- /* As src/config.ts names it: replicas of the same controller name elect one. */}}
{{- define "certbound.leaseName" -}}
{{- if eq .Values.controllerName "certbound.dev/operator" }}certbound{{ else }}certbound-{{ sha256sum .Values.controllerName | trunc 10 }}{{ end }}
{{- end }}

{{- define "certbound.subjects" -}}
- kind: ServiceAccount
  name: {{ include "certbound.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
