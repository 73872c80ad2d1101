# Builds a root file system for a second systemd: this machine's programs, and nothing else of the machine. $1: where to
# build it; $2: the folder that becomes /opt/app in it.
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir dev etc opt opt/app proc root run sys tmp usr var old
chmod 1777 tmp
for name in bin lib lib64 sbin; do
    if [ -L "/$name" ]; then
        cp -P "/$name" .
    elif [ -d "/$name" ]; then
        mkdir "$name" && mount --rbind "/$name" "$name"
    fi
done
mount --rbind /usr usr
mount --rbind /dev dev
mount --bind "$2" opt/app
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
cp -rL /etc/passwd /etc/group /etc/nsswitch.conf /etc/ssl etc/
: > etc/machine-id
pivot_root . old
umount -l /old
exec env -i container=other NOTIFY_SOCKET=/opt/app/ready PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target --show-status=0
