"""Where maps and scores of pictures come from: networks, folders of maps, gaze itself, and controls that know nothing."""
