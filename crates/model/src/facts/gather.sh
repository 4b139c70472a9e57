# Says what this system is, a fact a line, for facts/parse.rs. For every sh: dash, busybox, ksh, mksh, FreeBSD, macOS.
#
# It never writes, never asks the network and never waits: no name is looked up, and of the file systems only local ones
# are asked. Everything stands in functions and runs with an empty standard input, so that it may be sent to `sh -s`.
# What a command says is passed on as it is: taking it apart is the parser's work, which trusts none of it.

LC_ALL=C
export LC_ALL
PATH="${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
export PATH
unset IFS
set -f

# One fact; of a text with several lines the first. What is longer than any real one is left out.
say() {
    fact=${2%%"$newline"*}
    if [ -n "$fact" ] && [ "${#fact}" -le 512 ]; then
        printf '%s=%s\n' "$1" "$fact"
    fi
}

has() {
    command -v "$1" >/dev/null
}

# The first line of a file.
first() {
    line=
    if [ -r "$1" ]; then
        read -r line <"$1"
    fi
    printf '%s\n' "$line"
}

release() {
    for file in /etc/os-release /usr/lib/os-release; do
        if [ -r "$file" ]; then
            while read -r line || [ -n "$line" ]; do
                case $line in
                ID=* | ID_LIKE=* | VERSION_ID=* | PRETTY_NAME=*) say "os-release.${line%%=*}" "${line#*=}" ;;
                esac
            done <"$file"
            return
        fi
    done
    for file in /etc/redhat-release /etc/SuSE-release /etc/system-release; do
        if [ -r "$file" ]; then
            say release "$(first "$file")"
            return
        fi
    done
    if [ "$kernel" = Darwin ] && has sw_vers; then
        say macos "$(sw_vers -productVersion)"
    fi
}

processors() {
    for name in _NPROCESSORS_ONLN NPROCESSORS_ONLN; do
        count=$(getconf "$name")
        case $count in
        '' | *[!0-9]*) ;;
        *)
            say cpus "$count"
            return
            ;;
        esac
    done
    if [ -r /proc/cpuinfo ]; then
        count=0
        while read -r word rest; do
            case $word in
            processor) count=$((count + 1)) ;;
            esac
        done </proc/cpuinfo
        if [ "$count" -gt 0 ]; then
            say cpus "$count"
            return
        fi
    fi
    say cpus "$(sysctl -n hw.ncpu)"
}

memory() {
    if [ -r /proc/meminfo ]; then
        while read -r word amount rest; do
            case $word in
            MemTotal:) say mem_kib "$amount" ;;
            SwapTotal:) say swap_kib "$amount" ;;
            esac
        done </proc/meminfo
        return
    fi
    for name in hw.memsize hw.physmem64 hw.physmem; do
        amount=$(sysctl -n "$name")
        case $amount in
        '' | *[!0-9]*) ;;
        *)
            say mem_bytes "$amount"
            break
            ;;
        esac
    done
    if [ "$kernel" = Darwin ]; then
        say swapusage "$(sysctl -n vm.swapusage)"
    else
        say swap_bytes "$(sysctl -n vm.swap_total)"
    fi
}

uptime_of() {
    if [ -r /proc/uptime ]; then
        say uptime "$(first /proc/uptime)"
    else
        say boottime "$(sysctl -n kern.boottime)"
        say now "$(date +%s)"
    fi
}

# Linux: mounts of local disks, each device once. stat asks that file system alone, where df may look at all of them.
disks_of_linux() {
    seen=' '
    count=0
    while read -r device mount type rest; do
        case $type in
        nfs* | cifs | smb* | 9p | ceph | fuse.* | squashfs | iso9660 | udf | erofs | autofs | devtmpfs | rootfs) continue ;;
        esac
        case $mount:$device:$type in
        /:*) ;;
        *:/dev/* | *:zfs | *:btrfs | *:bcachefs) ;;
        *) continue ;;
        esac
        case $seen in
        *" $device "*) continue ;;
        esac
        path=$mount
        while :; do
            case $path in
            *\\040*) path="${path%%\\040*} ${path#*\\040}" ;;
            *) break ;;
            esac
        done
        [ -d "$path" ] || continue
        seen="$seen$device "
        sizes=$(stat -f -c '%S %b %a' "$path")
        if [ -n "$sizes" ]; then
            say disk "$sizes $device $mount"
        else
            df -Pk "$path" | while read -r line; do say df "$line"; done
        fi
        count=$((count + 1))
        [ "$count" -lt 64 ] || break
    done </proc/mounts
}

disks() {
    if [ "$kernel" = Linux ]; then
        disks_of_linux
        return
    fi
    { df -Pkln || df -Pkl; } | {
        count=0
        while read -r line && [ "$count" -lt 96 ]; do
            say df "$line"
            count=$((count + 1))
        done
    }
}

# Words that may be addresses, whoever says them; the parser knows which are.
addresses() {
    if has ip && ip -o addr show >/dev/null; then
        ip -o addr show | while read -r number name family address rest; do
            case $family in
            inet | inet6) printf '%s\n' "$address" ;;
            esac
        done
    elif has ifconfig; then
        ifconfig -a | while read -r family address rest; do
            case $family in
            inet | inet6)
                case $address in
                addr:) address=${rest%% *} ;;
                addr:*) address=${address#addr:} ;;
                esac
                printf '%s\n' "$address"
                ;;
            esac
        done
    else
        addresses_of_proc
    fi
}

addresses_of_proc() {
    if [ -r /proc/net/fib_trie ]; then
        while read -r word address kind; do
            case $word:$address:$kind in
            '|--:'*) last=$address ;;
            '/32:host:LOCAL') printf '%s\n' "$last" ;;
            esac
        done </proc/net/fib_trie
    fi
    if [ -r /proc/net/if_inet6 ]; then
        while read -r address rest; do
            printf '%s\n' "$address"
        done </proc/net/if_inet6
    fi
}

some_addresses() {
    addresses | {
        count=0
        while read -r address && [ "$count" -lt 256 ]; do
            say address "$address"
            count=$((count + 1))
        done
    }
}

# Containers leave marks; systemd-detect-virt knows the rest, and where it is missing, what the firmware says.
virtualisation() {
    case $kernel in
    Linux) ;;
    Darwin)
        case $(sysctl -n kern.hv_vmm_present) in
        0) echo none ;;
        1) echo vm-other ;;
        esac
        return
        ;;
    *)
        case $(sysctl -n security.jail.jailed):$(sysctl -n kern.vm_guest) in
        1:*) echo jail ;;
        *:hv) echo microsoft ;;
        *:vbox) echo oracle ;;
        *:generic) echo vm-other ;;
        *:*) sysctl -n kern.vm_guest ;;
        esac
        return
        ;;
    esac
    if has systemd-detect-virt; then
        systemd-detect-virt
        return
    fi
    container_of_linux || machine_of_linux
}

container_of_linux() {
    case $(first /run/systemd/container) in
    '') ;;
    *)
        first /run/systemd/container
        return 0
        ;;
    esac
    if [ -e /run/.containerenv ]; then
        echo podman
        return 0
    fi
    if [ -e /.dockerenv ]; then
        echo docker
        return 0
    fi
    case $(first /proc/sys/kernel/osrelease) in
    *[Mm]icrosoft* | *WSL*)
        echo wsl
        return 0
        ;;
    esac
    if [ -d /proc/vz ] && [ ! -d /proc/bc ]; then
        echo openvz
        return 0
    fi
    while read -r line; do
        case $line in
        */docker[/-]* | */kubepods*) mark=docker ;;
        */lxc[./]*) mark=lxc ;;
        *) continue ;;
        esac
        echo "$mark"
        return 0
    done </proc/1/cgroup
    return 1
}

machine_of_linux() {
    case $(first /sys/hypervisor/type) in
    xen)
        echo xen
        return
        ;;
    esac
    case $(first /sys/devices/system/clocksource/clocksource0/available_clocksource) in
    *kvm*)
        echo kvm
        return
        ;;
    *hyperv*)
        echo microsoft
        return
        ;;
    esac
    marks=
    for name in sys_vendor product_name board_vendor bios_vendor; do
        marks="$marks $(first "/sys/class/dmi/id/$name")"
    done
    case $marks in
    *KVM* | *OpenStack* | *KubeVirt*) echo kvm ;;
    *Amazon*EC2*) echo amazon ;;
    *Google*Compute*) echo google ;;
    *QEMU*) echo qemu ;;
    *VMware* | *VMW*) echo vmware ;;
    *VirtualBox* | *innotek*) echo oracle ;;
    *Xen*) echo xen ;;
    *Parallels*) echo parallels ;;
    *BHYVE*) echo bhyve ;;
    *Microsoft*Virtual*) echo microsoft ;;
    *Apple*Virtualization*) echo apple ;;
    *) hypervisor_flag ;;
    esac
}

# Processors of PCs say that they are virtual; of others nothing is known.
hypervisor_flag() {
    [ -r /proc/cpuinfo ] || return
    while read -r line; do
        case $line in
        flags*' hypervisor'*)
            echo vm-other
            return
            ;;
        flags*)
            echo none
            return
            ;;
        esac
    done </proc/cpuinfo
}

packages() {
    if [ -e /var/lib/dpkg/status ] && has apt-get; then
        echo apt
        return
    fi
    for pair in dnf:dnf microdnf:dnf yum:yum zypper:zypper pacman:pacman apk:apk emerge:portage \
        xbps-install:xbps opkg:opkg swupd:swupd apt-get:apt nix-env:nix pkg:pkg pkgin:pkgin pkg_add:pkg_add \
        brew:brew port:macports; do
        if has "${pair%%:*}"; then
            echo "${pair#*:}"
            return
        fi
    done
}

init() {
    case $kernel in
    Linux) ;;
    Darwin)
        echo launchd
        return
        ;;
    *)
        echo rc
        return
        ;;
    esac
    pid1=$(first /proc/1/comm)
    if [ -d /run/systemd/system ]; then
        echo systemd
    elif [ -d /run/openrc ]; then
        echo openrc
    elif [ -d /run/s6-rc ] || [ -d /run/s6/basedir ]; then
        echo s6
    else
        case $pid1 in
        systemd | runit | dinit | busybox | procd | upstart) echo "$pid1" ;;
        s6-svscan) echo s6 ;;
        init)
            case $(ls -ldn /sbin/init) in
            *busybox*) echo busybox ;;
            *) if [ -e /sbin/initctl ] && [ -e /etc/init/rc.conf ]; then echo upstart; else echo sysvinit; fi ;;
            esac
            ;;
        esac
    fi
}

facts() {
    newline='
'
    echo 'muster-facts 1'
    kernel=$(uname -s)
    say kernel "$kernel"
    say kernel_release "$(uname -r)"
    say arch "$(uname -m)"
    say hostname "$(uname -n)"
    release
    processors
    memory
    uptime_of
    disks
    some_addresses
    say virt "$(virtualisation)"
    say pkg "$(packages)"
    say init "$(init)"
    echo end
}

facts </dev/null 2>/dev/null
exit 0
