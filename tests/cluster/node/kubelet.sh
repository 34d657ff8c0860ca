# Sourced by init: containerd, then the control plane, then kubelet: one node that runs pods.
# What was seen to work: containerd 1.6, runc 1.1, cgroups version 1.

cgroup=$(basename "$folder")
# Pods get cgroups below one of ours, which the broom removes; a kubelet of the machine has its own.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
  [[ -f $hierarchy/cgroup.procs ]] || continue
  mkdir "$hierarchy/$cgroup"
  for file in cpuset.cpus cpuset.mems; do
    [[ ! -f $hierarchy/$cgroup/$file ]] || cat "$hierarchy/$file" >"$hierarchy/$cgroup/$file" 2>/dev/null || true
  done
done

# kubelet wants to set these for the whole machine. Here it sets files of ours.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  mkdir -p "$folder/sys/$(dirname "$setting")"
  cat "/proc/sys/$setting" >"$folder/sys/$setting"
  mount --bind "$folder/sys/$setting" "/proc/sys/$setting"
done

# restrict_oom_score_adj: without CAP_SYS_RESOURCE, which root has not in many sandboxes, runc fails otherwise.
cat >"$folder/containerd.toml" <<TOML
version = 2
root = "$folder/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$folder/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tekseal.invalid/pause:1"
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."$registry"]
    endpoint = ["http://$registry"]
TOML
mkdir "$folder/cni"
cat >"$folder/cni/10-bridge.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "dataDir": "/run/ipam", "routes": [{"dst": "0.0.0.0/0"}]}
}]}
JSON
cat >"$folder/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
# The files of the machine are none of its business.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
localStorageCapacityIsolation: false
volumePluginDir: $folder/volume-plugins
resolvConf: ""
maxPods: 60
syncFrequency: 10s
registryPullQPS: 0
serializeImagePulls: false
eventRecordQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
YAML

start containerd containerd --config "$folder/containerd.toml"
ready containerd ctr version
# A pod's first process has only to stay.
"$tests/image" tekseal.invalid/pause:1 --archive "$folder/pause.tar" --entrypoint /bin/busybox --entrypoint sleep --entrypoint infinity \
  "/bin/busybox=$(command -v busybox)" >/dev/null
ctr --namespace k8s.io images import "$folder/pause.tar" >/dev/null

start_control_plane
start kubelet "$kubernetes/kubelet" --kubeconfig "$KUBECONFIG" --config "$folder/kubelet.yaml" --hostname-override node --node-ip "$node" \
  --root-dir "$folder/kubelet" --cert-dir "$folder/kubelet-certificates"
node_is_ready() { [[ $(kubectl get node node -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; }
ready kubelet node_is_ready
control_plane_is_ready
