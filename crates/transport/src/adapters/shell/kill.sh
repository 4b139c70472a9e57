# Ends every process of a run: TERM, a while of grace, then KILL until none is left.
#
# For any POSIX sh, with grep and awk (dash and busybox do). A process belongs to the run if its environment
# had the mark when it was started, or its command line sets it, or if it descends from one that belongs to it, or is in the session or
# process group of one that did. Says at the end: muster-kill SEEN TERMED KILLED LEFT...
m=MUSTER_
m=${m}RUN=@MARK@
grace=@GRACE@
leaders= fading= termed=' ' killed=' ' T=0 K=0 seen=0
LC_ALL=C
export LC_ALL
unset MUSTER_RUN

# The table of processes, as "pid parent group session state marked".
if [ -r /proc/self/environ ] && cd /proc; then
  grep -z . /dev/null 2>/dev/null
  if [ $? -eq 1 ]; then
    marked() {
      grep -lszxF -- "$m" [0-9]*/environ
      grep -lszF -- "$m;" [0-9]*/cmdline
    }
  else
    # Busybox of old: it reads no further than to a NUL.
    marked() {
      for f in [0-9]*/environ; do
        tr '\000' '\n' <"$f" | grep -qxF -- "$m" && echo "$f"
      done
      for f in [0-9]*/cmdline; do
        tr '\000' '\n' <"$f" | grep -qF -- "$m;" && echo "$f"
      done
    }
  fi
  # The names of files tell the numbers: what a process calls itself may hold anything, line breaks too.
  table() {
    { marked; grep -sH '' [0-9]*/stat; } 2>/dev/null | awk '
      /^[0-9]+\/(environ|cmdline)$/ { sub(/\/.*/, ""); mark[$0] = 1; next }
      /^[0-9]+\/stat:.*\) [A-Za-z] / {
        p = $0; sub(/\/.*/, "", p); sub(/.*\) /, ""); print p, $2, $3, $4, $1, (p in mark)
      }'
  }
  now() {
    read -r u _ </proc/uptime
    now=$((100 * ${u%.*} + 1${u#*.} - 100))
  }
else
  ticks=0
  table() {
    ps axeww -o pid= -o ppid= -o pgid= -o stat= -o command= 2>/dev/null | awk -v m="$m" '
      { print $1, $2, $3, 0, $4, (index($0 " ", " " m " ") || index($0, m ";")) ? 1 : 0 }'
  }
  now() { now=$ticks; }
fi
nap() {
  sleep "0.$1" 2>/dev/null || sleep 1
  ticks=$((${ticks:-0} + 10))
}

# Sets P to the processes that are left; leaders keeps whoever belongs, for their sessions and groups. Of whom nothing
# is to be seen, neither they nor their session or group, fades, and is forgotten the time after: soon their number may
# be that of a stranger.
scan() {
  r=$(table | awk -v me=$$ -v old="$leaders" -v older="$fading" '
    { pp[$1] = $2; pg[$1] = $3; sd[$1] = $4; st[$1] = $5; if ($6 && $1 + 0 > 1) set[$1] = 1 }
    END {
      n = split(old, o, " "); for (i = 1; i <= n; i++) lead[o[i]] = 1
      m = split(older, f, " "); for (i = 1; i <= m; i++) lead[f[i]] = 1
      own[me] = 1
      do { c = 0; for (p in pp) if (!(p in own) && (pp[p] in own)) { own[p] = 1; c = 1 } } while (c)
      for (p in own) delete set[p]
      for (p in set) lead[p] = 1
      do {
        c = 0
        for (p in pp)
          if (!(p in set) && !(p in own) && p + 0 > 1 && ((pp[p] in set) || (pg[p] in lead) || (sd[p] in lead))) {
            set[p] = 1; lead[p] = 1; c = 1
          }
      } while (c)
      for (p in set) { new[p] = 1; if (st[p] !~ /^[ZX]/) printf "%s ", p }
      for (p in pp) { if (pg[p] in lead) new[pg[p]] = 1; if (sd[p] in lead) new[sd[p]] = 1 }
      printf "/"
      for (p in new) printf "%s ", p
      printf "/"
      for (i = 1; i <= n; i++) if (!(o[i] in new)) printf "%s ", o[i]
    }')
  P=${r%%/*} r=${r#*/}
  leaders=${r%/*} fading=${r#*/}
  # A group whose members fork faster than the table is read is not to be seen, and lives.
  for g in $fading; do kill -0 "-$g" 2>/dev/null && leaders="$leaders$g "; done
  [ -z "$P" ] || seen=1
}

# Signals the process groups that belonged; the kernel sees to it that no member slips through. Says whether
# there was any: one of zombies counts.
groups() {
  some=1
  for g in $leaders; do kill "-$1" "-$g" 2>/dev/null && some=0; done
  return $some
}

# Scans again where nothing was found but a group lives: processes that fork and leave may have been overlooked.
# Who is still not to be seen then is a zombie, or gets its KILL with the group.
settle() {
  i=0
  while [ -z "$P" ] && [ $i -lt 5 ] && groups 0; do
    nap 01
    scan
    i=$((i + 1))
  done
  [ -n "$P" ] || groups KILL
}

term() {
  new=
  for p in $P; do
    case $termed in *" $p "*) ;; *) termed="$termed$p " new="$new $p" T=$((T + 1)) ;; esac
  done
  [ -z "$new" ] || { kill -TERM $new; kill -CONT $new; } 2>/dev/null
}

scan
now
end=$((now + grace))
term
pause=01
# Whoever was being born meanwhile.
[ -z "$P" ] || { scan; term; }
[ "$seen" -eq 0 ] || settle
while [ -n "$P" ]; do
  now
  [ "$now" -lt "$end" ] || break
  nap "$pause"
  pause=05
  scan
  settle
done

now
end=$((now + 900)) round=0
while [ -n "$P" ]; do
  round=$((round + 1))
  # Those who fork faster than they are found are stopped first. Not at once: a sudo stops with its command, and
  # nobody might be allowed to wake it.
  i=0 before=
  while [ $round -gt 4 ] && [ "$before" != "$P" ] && [ $i -lt 20 ]; do
    kill -STOP $P 2>/dev/null
    before=$P i=$((i + 1))
    scan
  done
  for p in $P; do
    case $killed in *" $p "*) ;; *) killed="$killed$p " K=$((K + 1)) ;; esac
  done
  [ -z "$P" ] || kill -KILL $P 2>/dev/null
  groups KILL
  nap 02
  scan
  settle
  now
  [ "$now" -lt "$end" ] || break
  # What the command ran by sudo belongs to somebody else, but who may run sudo may end it.
  if [ $round -eq 3 ]; then
    for p in $P; do
      if grep -qsx sudo "/proc/$p/comm"; then
        sudo -n kill -KILL $P 2>/dev/null </dev/null
        break
      fi
    done
  fi
done
# What a script that was killed could not take away itself.
[ -n "$P" ] || rm -f "${TMPDIR:-/tmp}"/muster.@MARK@.??????
echo "muster-kill $seen $T $K $P"
