"""Rendered people with exact keypoints and label maps: `python -m tools.demo_set --out DIR`.

The way of the data: poses + bodies -> dressed meshes -> scene -> G-buffer -> photo, label map, keypoints -> files.
Bodies come from `anny` (code Apache-2.0, assets CC0). It is needed to make more pictures, never to read the demo set.

World: metres, z up, the ground is z = 0, the camera looks along +y; a person at rest faces -y, their left is +x.
"""
