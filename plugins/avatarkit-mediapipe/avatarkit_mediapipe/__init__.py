"""MediaPipe's face landmarker as an avatarkit tracker."""
