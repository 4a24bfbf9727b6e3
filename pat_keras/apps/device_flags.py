"""Flags of the device readers: one for each of their options, and the values that a device gets."""

from __future__ import annotations

from absl import flags

from pat_keras.data.readers.devices import OPTIONS, devices_with


def define_devices(values: flags.FlagValues) -> None:
    """Defines a flag for every option of a device."""
    for name, option in OPTIONS.items():
        help_text = f"{', '.join(devices_with(name))}: {option.meaning}"
        if option.choices:
            flags.DEFINE_enum(name, option.default, list(option.choices), help_text, flag_values=values)
        else:
            flags.DEFINE_string(name, option.default, help_text, flag_values=values)


def device_options(values: flags.FlagValues, source: str) -> dict[str, str]:
    """The options of a device that have a value."""
    chosen = {name: values[name].value for name in OPTIONS if source in devices_with(name)}
    return {name: value for name, value in chosen.items() if value is not None}
