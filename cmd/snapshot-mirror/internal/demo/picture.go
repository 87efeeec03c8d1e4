package demo

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"time"
)

const width, height = 320, 180

// draw makes the frame of a video at a time: a sky whose sun moves with the time, and the time in large digits.
func draw(hue float64, at time.Duration, length time.Duration) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	part := float64(at) / float64(length)
	sunX, sunY := 20+part*(width-40), 130-90*math.Sin(part*math.Pi)
	for y := range height {
		for x := range width {
			light := 0.25 + 0.5*float64(y)/height
			if d := math.Hypot(float64(x)-sunX, float64(y)-sunY); d < 60 {
				light += (1 - d/60) * 0.7
			}
			img.SetRGBA(x, y, shade(hue, min(light, 1)))
		}
	}
	seconds := int(at / time.Second)
	for i, digit := range []int{seconds / 600, seconds / 60 % 10, -1, seconds % 60 / 10, seconds % 10} {
		drawDigit(img, 95+i*28, 70, digit)
	}
	return img
}

// shade gives a colour of the hue (0 to 1), from black over the hue to white.
func shade(hue, light float64) color.RGBA {
	channel := func(shift float64) uint8 {
		c := 0.5 + 0.5*math.Cos(2*math.Pi*(hue+shift))
		if light > 0.7 {
			c += (1 - c) * (light - 0.7) / 0.3
		}
		return uint8(255 * c * min(light/0.7, 1))
	}
	return color.RGBA{channel(0), channel(1.0 / 3), channel(2.0 / 3), 255}
}

// segments are those of a seven-segment display for the digits 0 to 9: top, upper left, upper right, middle, lower left, lower
// right, bottom.
var segments = [10]string{"1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011"}

// drawDigit draws a digit, or a colon for -1.
func drawDigit(img *image.RGBA, x, y, digit int) {
	if digit < 0 {
		fill(img, image.Rect(x+8, y+10, x+13, y+15))
		fill(img, image.Rect(x+8, y+27, x+13, y+32))
		return
	}
	bars := []image.Rectangle{
		image.Rect(3, 0, 18, 4), image.Rect(0, 2, 4, 20), image.Rect(17, 2, 21, 20), image.Rect(3, 19, 18, 23),
		image.Rect(0, 22, 4, 40), image.Rect(17, 22, 21, 40), image.Rect(3, 38, 18, 42),
	}
	for i, on := range segments[digit] {
		if on == '1' {
			fill(img, bars[i].Add(image.Pt(x, y)))
		}
	}
}

func fill(img *image.RGBA, r image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			img.SetRGBA(x, y, color.RGBA{255, 255, 255, 255})
		}
	}
}

// encode gives the picture's file in the format of the extension, jpg or png.
func encode(img image.Image, ext string) ([]byte, error) {
	var b bytes.Buffer
	if ext == "png" {
		err := png.Encode(&b, img)
		return b.Bytes(), err
	}
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}
