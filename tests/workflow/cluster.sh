#!/usr/bin/env bash
# A SLURM cluster of pretend nodes, three pretend GPUs of two kinds each, for tests: no accounting, no systemd, everything in one folder.
#   cluster.sh start FOLDER [COUNT]    a new folder, so many nodes (default: 1); as root, with slurm-wlm and munge installed
#   cluster.sh stop FOLDER             ends the daemons of that folder, and no others
set -Eeuo pipefail
action=$1
folder=$(realpath -m "$2")
count=${3:-1}
nodes=$(seq --format='pretend%.0f' --separator=' ' "$count")
# SLURM's commands look here, and jobs lose the environment variable that could name another place.
system=/etc/slurm

configure() {
  for name in slurm.conf gres.conf; do
    if [ -e "$system/$name" ] || [ -L "$system/$name" ]; then
      echo "expected no $system/$name, found one: this machine has a SLURM, or a test was killed (then remove it)" >&2
      exit 1
    fi
  done
  mkdir -p "$folder"/{state,devices} "$system"
  for gpu in 0 1 2; do
    mknod "$folder/devices/gpu$gpu" c 1 3  # another /dev/null
  done
  head -c 1024 /dev/urandom > "$folder/munge.key"
  chmod 600 "$folder/munge.key"
  # The node claims more than the machine may have, so that jobs need not wait for each other on a small one.
  cat > "$folder/slurm.conf" << CONF
ClusterName=pretend
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=26817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
SlurmdTimeout=30
MinJobAge=3600
KillWait=2
GresTypes=gpu
PartitionName=main Nodes=ALL Default=YES
CONF
  for node in $nodes; do
    port=$((26817 + ${node#pretend}))
    echo "NodeName=$node NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$port CPUs=4 RealMemory=128000 Gres=gpu:fast:2,gpu:slow:1" \
      >> "$folder/slurm.conf"
  done
  cat > "$folder/gres.conf" << CONF
AutoDetect=off
Name=gpu Type=fast File=$folder/devices/gpu[0-1]
Name=gpu Type=slow File=$folder/devices/gpu2
CONF
  ln -s "$folder/slurm.conf" "$folder/gres.conf" "$system"
}

start() {
  configure
  trap stop ERR
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
  slurmctld -c
  for node in $nodes; do
    slurmd -N "$node"
  done
  for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format='%T %D' 2> /dev/null)" = "idle $count" ]; then
      return
    fi
    sleep 0.5
  done
  echo "expected $count idle nodes within 30 s; see $folder/slurmctld.log and slurmd-*.log" >&2
  false
}

stop() {
  if [ "$(readlink "$system/slurm.conf")" = "$folder/slurm.conf" ]; then
    scancel --user="$(id -un)" || true
  fi
  for file in "$folder"/slurmd-*.pid "$folder"/slurmctld.pid "$folder"/munged.pid; do
    pid=$(cat "$file" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || continue
    while kill -0 "$pid" 2> /dev/null; do
      sleep 0.2
    done
  done
  for name in slurm.conf gres.conf; do
    if [ "$(readlink "$system/$name")" = "$folder/$name" ]; then
      rm "$system/$name"
    fi
  done
}

case $action in
  start | stop) "$action" ;;
  *)
    echo "expected start or stop, got $action" >&2
    exit 1
    ;;
esac
