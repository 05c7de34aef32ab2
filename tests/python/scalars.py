"""What TensorBoard draws of a folder: {tag: [[step, value], …]} as JSON, by both of its readers, which must agree."""

import json
import logging
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator

# They tell of what a restart voids.
logging.disable(logging.WARNING)
folder = sys.argv[1]

scalars = EventAccumulator(folder, size_guidance={"scalars": 0})
scalars.Reload()
drawn = {tag: [[event.step, event.value] for event in scalars.Scalars(tag)] for tag in scalars.Tags()["scalars"]}

tensors = PluginEventAccumulator(folder, tensor_size_guidance={"scalars": 0})
tensors.Reload()
by_plugin = {
    tag: [[event.step, numpy.frombuffer(event.tensor_proto.tensor_content, "<f4")[0].item() if event.tensor_proto.tensor_content else event.tensor_proto.float_val[0]] for event in tensors.Tensors(tag)]
    for tag in tensors.PluginTagToContent("scalars")
}
assert drawn == by_plugin, (drawn, by_plugin)
json.dump(drawn, sys.stdout)
