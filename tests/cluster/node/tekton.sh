# Sourced by init: Tekton's controller, webhook and resolvers as processes of the node, their images in the registry.

namespace=tekton-pipelines
ready registry curl -sf "http://$registry/v2/"
# The paths of the programs in their images are fixed. Their users are those of the released images, which `set-security-context` relies on.
user=(--user 65532)
entrypoint=$(image tekton/entrypoint "/ko-app/entrypoint=$tekton/tekton-entrypoint" "${user[@]}")
nop=$(image tekton/nop "/ko-app/nop=$tekton/tekton-nop" --entrypoint /ko-app/nop "${user[@]}")
workingdirinit=$(image tekton/workingdirinit "/ko-app/workingdirinit=$tekton/tekton-workingdirinit" "${user[@]}")
sidecarlogresults=$(image tekton/sidecarlogresults "/ko-app/sidecarlogresults=$tekton/tekton-sidecarlogresults" "${user[@]}")
shell=$(image tekton/shell "/bin/sh=$(command -v busybox)")

kubectl apply --server-side --filename "$tekton/config/300-crds" --filename "$tekton/config/100-namespace" >/dev/null
settings=()
for file in "$tekton"/config/config-*.yaml; do settings+=(--filename "$file"); done
kubectl apply "${settings[@]}" >/dev/null
# No StatefulSets are run here, which coschedule would need, and nobody injects sidecars.
kubectl --namespace $namespace patch configmap feature-flags --type merge \
  --patch '{"data": {"coschedule": "disabled", "running-in-environment-with-injected-sidecars": "false"}}' >/dev/null

common=(
  SYSTEM_NAMESPACE=$namespace KUBERNETES_MIN_VERSION=v1.28.0 METRICS_DOMAIN=tekton.dev/pipeline
  CONFIG_DEFAULTS_NAME=config-defaults CONFIG_LOGGING_NAME=config-logging CONFIG_OBSERVABILITY_NAME=config-observability
  CONFIG_FEATURE_FLAGS_NAME=feature-flags CONFIG_SPIRE=config-spire
)
start tekton-controller env "${common[@]}" CONFIG_LEADERELECTION_NAME=config-leader-election-controller PROBES_PORT=18080 METRICS_PROMETHEUS_PORT=19090 \
  "$tekton/tekton-controller" -kubeconfig "$KUBECONFIG" -disable-ha -kube-api-qps 100 -kube-api-burst 200 \
  -entrypoint-image "$entrypoint" -nop-image "$nop" -workingdirinit-image "$workingdirinit" -sidecarlogresults-image "$sidecarlogresults" \
  -shell-image "$shell" -shell-image-win "$shell"

# The webhook has a Service without selector, whose endpoint is this node: the API server calls the process directly.
kubectl apply --filename "$tekton/config/500-webhooks.yaml" --filename - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: tekton-pipelines-webhook, namespace: $namespace}
spec: {ports: [{name: https-webhook, port: 443, targetPort: 8443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: tekton-pipelines-webhook-1, namespace: $namespace, labels: {kubernetes.io/service-name: tekton-pipelines-webhook}}
addressType: IPv4
ports: [{name: https-webhook, port: 8443, protocol: TCP}]
endpoints: [{addresses: [$node], conditions: {ready: true}}]
YAML
start tekton-webhook env "${common[@]}" CONFIG_LEADERELECTION_NAME=config-leader-election-webhook PROBES_PORT=18081 METRICS_PROMETHEUS_PORT=19091 \
  WEBHOOK_PORT=8443 WEBHOOK_ADMISSION_CONTROLLER_NAME=webhook.pipeline.tekton.dev WEBHOOK_SERVICE_NAME=tekton-pipelines-webhook \
  WEBHOOK_SECRET_NAME=webhook-certs POD_NAME=webhook "$tekton/tekton-webhook" -kubeconfig "$KUBECONFIG"
# What is named by a resolver, such as a bundle.
resolvers=tekton-pipelines-resolvers
settings=()
for file in "$tekton"/config/resolvers/{100-namespace,*-config,config-*}.yaml; do settings+=(--filename "$file"); done
kubectl apply "${settings[@]}" >/dev/null
start tekton-resolvers env "${common[@]/#SYSTEM_NAMESPACE=*/SYSTEM_NAMESPACE=$resolvers}" METRICS_DOMAIN=tekton.dev/resolution \
  CONFIG_LEADERELECTION_NAME=config-leader-election-resolvers METRICS_PROMETHEUS_PORT=19092 \
  "$tekton/tekton-resolvers" -kubeconfig "$KUBECONFIG"
ready tekton-controller curl -sf http://127.0.0.1:18080/readiness
ready tekton-resolvers curl -sf http://127.0.0.1:8080/readiness

# The webhook is there once it has put its certificate into the types that it converts (the API server ends all watches of a type that
# changes), and refuses a Task that has two steps of one name.
webhook_judges() {
  local said type
  for type in task taskrun pipeline pipelinerun; do
    [[ -n $(kubectl get crd "${type}s.tekton.dev" --output 'jsonpath={.spec.conversion.webhook.clientConfig.caBundle}') ]] || return 1
  done
  said=$(kubectl create --dry-run=server --filename - 2>&1 <<YAML || true
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: two-of-one-name, namespace: default}
spec: {steps: [{name: a, image: x}, {name: a, image: x}]}
YAML
  )
  [[ $said == *validation.webhook.pipeline* ]]
}
ready tekton-webhook webhook_judges
