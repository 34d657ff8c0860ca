# Sourced by init: registry, etcd, kube-apiserver, kube-controller-manager, kube-scheduler.

start etcd etcd --data-dir "$folder/etcd" --quota-backend-bytes 4294967296 --logger zap --log-level warn \
  --experimental-watch-progress-notify-interval 1s

cat >"$folder/registry.yml" <<YAML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/registry}, delete: {enabled: true}}
http: {addr: "$registry"}
YAML
start registry docker-registry serve "$folder/registry.yml"

# As the harness makes them (tests/harness/src/tls.rs).
(
  cd "$folder"
  key=(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 2)
  openssl "${key[@]}" -subj '/CN=private authority of one test' -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt
  openssl "${key[@]}" -subj /CN=kube-apiserver -CA ca.crt -CAkey ca.key -keyout server.key -out server.crt \
    -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
    -addext "subjectAltName=IP:127.0.0.1,IP:$node,IP:$service,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:${issuer#https://}"
  # kube-apiserver reads the older form of a private key only.
  openssl ecparam -name prime256v1 -genkey -noout -out service-accounts.key
  umask 077
  token=$(openssl rand -hex 16)
  echo "$token,admin,admin,system:masters" >tokens.csv
  cat >kubeconfig <<JSON
{
  "apiVersion": "v1", "kind": "Config", "current-context": "node",
  "clusters": [{"name": "node", "cluster": {"server": "https://$node:443", "certificate-authority-data": "$(base64 -w0 ca.crt)"}}],
  "users": [{"name": "node", "user": {"token": "$token"}}],
  "contexts": [{"name": "node", "context": {"cluster": "node", "user": "node"}}]
}
JSON
) 2>"$folder/log/openssl"

start kube-apiserver "$kubernetes/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
  --bind-address 0.0.0.0 --secure-port 443 --advertise-address "$node" --service-cluster-ip-range 10.96.0.0/16 \
  --tls-cert-file "$folder/server.crt" --tls-private-key-file "$folder/server.key" \
  --token-auth-file "$folder/tokens.csv" --authorization-mode RBAC --allow-privileged \
  --service-account-issuer "$issuer" \
  --service-account-key-file "$folder/service-accounts.key" --service-account-signing-key-file "$folder/service-accounts.key" \
  --enable-aggregator-routing --kubelet-preferred-address-types InternalIP --profiling=false

# Only what a few pods and their namespaces need.
controllers=serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,namespace-controller
controllers+=,garbage-collector-controller,pod-garbage-collector-controller,node-lifecycle-controller,taint-eviction-controller
# tekseal-controller as it is deployed.
controllers+=,deployment-controller,replicaset-controller
# Volumes that several pods share; nobody provisions them, a test makes both ends.
controllers+=,persistentvolume-binder-controller

start_control_plane() {
  ready kube-apiserver curl -sf --cacert "$folder/ca.crt" "https://$node/readyz"
  local alone=(--kubeconfig "$KUBECONFIG" --bind-address 127.0.0.1 --leader-elect=false --authentication-skip-lookup)
  start kube-controller-manager "$kubernetes/kube-controller-manager" "${alone[@]}" --controllers "$controllers" \
    --service-account-private-key-file "$folder/service-accounts.key" --root-ca-file "$folder/ca.crt" --cert-dir "$folder/controller-manager"
  start kube-scheduler "$kubernetes/kube-scheduler" "${alone[@]}" --cert-dir "$folder/scheduler"
}
control_plane_is_ready() {
  ready kube-controller-manager curl -sfk https://127.0.0.1:10257/healthz
  ready kube-scheduler curl -sfk https://127.0.0.1:10259/healthz
}
