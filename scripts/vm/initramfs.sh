#!/bin/busybox sh
# The test system's /init: the driver of the disk, the root filesystem, systemd. Everything that
# fails here ends the machine, which whoever booted it takes for the failure it is.
bb=/bin/busybox
die() {
  echo "initramfs: $1"
  $bb poweroff -f
}
$bb mount -t devtmpfs dev /dev || die 'no devtmpfs'
for module in /modules/*.ko; do
  $bb insmod "$module" || die "$module"
done
turns=0
while [ ! -b /dev/vda ]; do
  turns=$((turns + 1))
  [ "$turns" -lt 300 ] || die 'no /dev/vda'
  $bb sleep 0.05
done
$bb mount -t ext4 -o noatime /dev/vda /root || die 'the root filesystem'
$bb mount --move /dev /root/dev || die 'moving /dev'
exec $bb switch_root /root /sbin/init
die 'no systemd'
