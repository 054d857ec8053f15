#!/usr/bin/env bash
# A real SLURM of one node on this machine, for tests: controller, node daemon and munge on the loopback interface.
# Several simulated nodes: scripts/cluster/nodes.py, which uses this.
#
#     scripts/cluster/local_slurm.sh start FOLDER [SLOTS]    state, logs and configuration in FOLDER; SLOTS (2) jobs of one core at a time
#     scripts/cluster/local_slurm.sh start FOLDER SLOTS NAME=ADDRESS …    the controller alone, for these nodes
#     export SLURM_CONF=FOLDER/slurm.conf                    then sbatch, squeue, hybrid train -m cluster=slurm … find it
#     scripts/cluster/local_slurm.sh crash FOLDER            SIGKILL to the controller; the jobs go on
#     scripts/cluster/local_slurm.sh recover FOLDER          start the controller again
#     scripts/cluster/local_slurm.sh stop FOLDER
#
# As root, with Debian's packages: apt-get install slurm-wlm munge
set -euo pipefail

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }

[ $# -ge 2 ] || usage
action=$1
folder=$(realpath -m "$2")
slots=${3:-2}
places=("${@:4}")
for command in munged mungekey slurmctld slurmd scontrol; do
  PATH=$PATH:/usr/sbin command -v "$command" >/dev/null || { echo "error: $command is missing: see the packages in $0" >&2; exit 2; }
done
PATH=$PATH:/usr/sbin
export SLURM_CONF=$folder/slurm.conf

configure() {
  local host ports place
  host=$(hostname -s)
  ports=$((20000 + RANDOM % 20000))
  mkdir -p "$folder"/{state,spool,run}
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=${SLURM_CONTROLLER:-$host(127.0.0.1)}
SlurmctldPort=$ports
SlurmdPort=$((ports + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket,cred_expire=10
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd${places:+.%n}.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd${places:+.%n}.log
SlurmdParameters=config_overrides
KillWait=20
MinJobAge=300
InactiveLimit=0
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2,requeue_delay=1
${SLURM_MORE:-}
END
  for place in "${places[@]:-$host=127.0.0.1}"; do
    echo "NodeName=${place%%=*} NodeAddr=${place#*=} CPUs=$slots Boards=1 SocketsPerBoard=1 CoresPerSocket=$slots" \
      "ThreadsPerCore=1 RealMemory=4000 State=UNKNOWN" >>"$SLURM_CONF"
  done
  echo "PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$SLURM_CONF"
}

wait_until() {  # wait_until SECONDS COMMAND…
  local left=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $((left--)) -gt 0 ] || { echo "error: gave up waiting for: $*" >&2; tail -n 5 "$folder"/*.log >&2; exit 1; }
    sleep 0.2
  done
}

idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }

kill_daemon() {  # kill_daemon NAME SIGNAL
  local file=$folder/run/$1.pid pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  kill "-$2" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$file"
}

case $action in
  start)
    configure
    mungekey --create --keyfile "$folder/munge.key" --force
    chown -R munge: "$folder/munge.key" "$folder/run"
    chmod 755 "$folder" "$folder/run"
    runuser -u munge -- munged --key-file "$folder/munge.key" --socket "$folder/run/munge.socket" --force \
      --pid-file "$folder/run/munged.pid" --log-file "$folder/run/munged.log" --seed-file "$folder/run/munged.seed"
    slurmctld
    if [ ${#places[@]} = 0 ]; then
      slurmd
      wait_until 60 idle
    fi
    echo "export SLURM_CONF=$SLURM_CONF"
    ;;
  crash) kill_daemon slurmctld KILL ;;
  recover)
    slurmctld
    wait_until 60 scontrol ping
    ;;
  stop)
    scancel --quiet --me 2>/dev/null || true
    for daemon in slurmctld slurmd munged; do kill_daemon "$daemon" TERM; done
    ;;
  *) usage ;;
esac
