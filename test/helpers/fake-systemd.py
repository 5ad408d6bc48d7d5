#!/usr/bin/python3
"""org.freedesktop.systemd1 on a private bus, for machines where systemd does not run.

Does with cgroups what systemd does with scopes: makes the group below ROOT, moves PIDs= into it,
removes it at the stop. Units in failed state stay until they are reset. Every call is a line of JSON
in LOG. What goes wrong is in the unit's name: `refused` (an error), `failing` (the job fails),
`silent` (no JobRemoved), `stuck` (no reply at all), `elsewhere` (its group is another), `once`
(a failed unit of that name is there).

usage: fake-systemd.py ADDRESS ROOT LOG [VERSION] [CONTROL-GROUP]
"""

import json
import os
import signal
import sys

import dbus
import dbus.bus
import dbus.lowlevel
import dbus.mainloop.glib
from gi.repository import GLib

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = NAME + ".Manager"

address, root, log_path = sys.argv[1:4]
version = sys.argv[4] if len(sys.argv) > 4 else "252.38-1~deb12u1"
control_group = sys.argv[5] if len(sys.argv) > 5 else ""

log = open(log_path, "a", buffering=1)
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.bus.BusConnection(address)
units = {}
seen = set()
jobs = 0


def plain(value):
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, (dbus.Array, dbus.Struct, list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return int(value)
    return str(value)


def group_of(name, properties):
    parts = [control_group] if control_group else []
    slice_ = properties.get("Slice", "system.slice")
    levels = [] if slice_ == "-.slice" else slice_[: -len(".slice")].split("-")
    parts += ["/" + "-".join(levels[: i + 1]) + ".slice" for i in range(len(levels))]
    return "".join(parts) + "/" + name


def make(group, pids):
    path = root
    for part in group.strip("/").split("/"):
        path += "/" + part
        os.makedirs(path, exist_ok=True)
    for pid in pids:
        with open(path + "/cgroup.procs", "w") as procs:
            procs.write(str(pid))


def remove(group):
    path = root + group
    try:
        with open(path + "/cgroup.kill", "w") as kill:
            kill.write("1")
    except OSError:
        pass
    for directory, _, _ in os.walk(path, topdown=False):
        for _ in range(200):
            try:
                os.rmdir(directory)
                break
            except FileNotFoundError:
                break
            except OSError:
                GLib.usleep(5000)
    # Slices without units go as well.
    while path != root:
        path = os.path.dirname(path)
        try:
            os.rmdir(path)
        except OSError:
            break


def alive(group):
    try:
        with open(root + group + "/cgroup.events") as events:
            return "populated 1" in events.read()
    except FileNotFoundError:
        return False


class Refusal(Exception):
    pass


def job_for(name, result, silent=False):
    global jobs
    jobs += 1
    path = f"{PATH}/job/{jobs}"

    def ended():
        # Somebody else's job first: it must not be taken for this one.
        for number, unit, outcome in ((0, "other.scope", "canceled"), (jobs, name, result)):
            signal_ = dbus.lowlevel.SignalMessage(PATH, MANAGER, "JobRemoved")
            signal_.append(number, f"{PATH}/job/{number}", unit, outcome, signature="uoss")
            bus.send_message(signal_)
        return False

    if not silent:
        GLib.timeout_add(5, ended)
    return dbus.ObjectPath(path)


def start(name, mode, properties, aux):
    given = {str(key): plain(value) for key, value in properties}
    if "refused" in name:
        raise Refusal("org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property Bogus")
    if "once" in name and name not in seen:
        seen.add(name)
        units[name] = {"failed": True, "group": "", "properties": {}}
    # A scope whose processes are gone is forgotten, one that failed is not.
    if name in units and not units[name]["failed"] and not alive(units[name]["group"]):
        del units[name]
    if name in units:
        raise Refusal(NAME + ".UnitExists", f"Unit {name} was already loaded")
    group = group_of(name, given)
    if "failing" in name:
        units[name] = {"failed": True, "group": "", "properties": given}
        return job_for(name, "failed"), "o"
    make(group, given.get("PIDs", []))
    shown = "/elsewhere.scope" if "elsewhere" in name else group
    units[name] = {"failed": False, "group": group, "shown": shown, "properties": given}
    return job_for(name, "done", "silent" in name), "o"


def known(name):
    if name not in units:
        raise Refusal(NAME + ".NoSuchUnit", f"Unit {name} not loaded.")
    return units[name]


def stop(name, mode):
    unit = known(name)
    if unit["group"]:
        remove(unit["group"])
    if "lingering" in name:
        unit["failed"] = True
    if not unit["failed"]:
        del units[name]
    return job_for(name, "done"), "o"


def reset_failed(name):
    if known(name)["failed"]:
        del units[name]
    return None, ""


def set_properties(name, runtime, properties):
    known(name)["properties"].update({str(key): plain(value) for key, value in properties})
    return None, ""


def attach(name, subgroup, pids):
    make(known(name)["group"] + str(subgroup), pids)
    return None, ""


def get_unit(name):
    known(name)
    return dbus.ObjectPath(PATH + "/unit/" + str(list(units).index(name))), "o"


METHODS = {
    "StartTransientUnit": start,
    "StopUnit": stop,
    "ResetFailedUnit": reset_failed,
    "SetUnitProperties": set_properties,
    "AttachProcessesToUnit": attach,
    "GetUnit": get_unit,
    "Subscribe": lambda: (None, ""),
}


def get(path, owner, name):
    if path == PATH:
        return {"Version": version, "ControlGroup": control_group}[name]
    return list(units.values())[int(path.rsplit("/", 1)[1])].get("shown", "")


def on_message(connection, message):
    if message.get_type() != 1 or message.get_destination() != NAME:
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED
    member = message.get_member()
    arguments = message.get_args_list()
    log.write(json.dumps([member, plain(arguments)]) + "\n")
    if arguments and "stuck" in str(arguments[0]):
        return dbus.lowlevel.HANDLER_RESULT_HANDLED
    try:
        if member == "Get":
            reply = dbus.lowlevel.MethodReturnMessage(message)
            value = get(message.get_path(), *map(str, arguments))
            reply.append(dbus.String(value, variant_level=1), signature="v")
        else:
            value, signature = METHODS[member](*arguments)
            reply = dbus.lowlevel.MethodReturnMessage(message)
            if signature:
                reply.append(value, signature=signature)
    except Refusal as refusal:
        reply = dbus.lowlevel.ErrorMessage(message, *refusal.args)
    except Exception as error:
        reply = dbus.lowlevel.ErrorMessage(message, NAME + ".Fault", repr(error))
    connection.send_message(reply)
    return dbus.lowlevel.HANDLER_RESULT_HANDLED


bus.add_message_filter(on_message)
bus.request_name(NAME)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
log.write(json.dumps(["ready", []]) + "\n")
GLib.MainLoop().run()
