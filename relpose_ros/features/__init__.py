"""Image -> local features; two feature sets -> matches."""
