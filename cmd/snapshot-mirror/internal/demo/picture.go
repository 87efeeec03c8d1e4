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

const width, height = 480, 270

// draw makes the frame of a video at a time: hills under a sun that moves with the time, in a light of the video's hue, and the time
// in digits.
func draw(hue float64, at time.Duration, length time.Duration) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	part := float64(at) / float64(length)
	sunX, sunY := width*(0.1+0.8*part), 170-125*math.Sin(part*math.Pi)
	day := 0.35 + 0.65*math.Sin(part*math.Pi)
	const layers = 5
	var ridges [layers][width]float64
	var hills, litHills [layers]color.RGBA
	for layer := range layers {
		depth := 1 - float64(layer)/layers
		hills[layer] = tint(hue+0.03*float64(layer), 0.12+0.5*depth*day)
		litHills[layer] = mix(hills[layer], tint(hue+0.42, 0.8), 0.5*depth)
		for x := range width {
			ridges[layer][x] = ridge(hue, layer, float64(x)+part*30*float64(layer))
		}
	}
	glow := tint(hue+0.42, 0.85)
	for y := range height {
		sky := tint(hue, day*(0.42+0.38*float64(y)/height)) // lighter towards the horizon
		for x := range width {
			far := math.Hypot(float64(x)-sunX, float64(y)-sunY)
			warm := math.Exp(-far/70) * 0.75
			c := mix(sky, glow, warm)
			if far < 15 {
				c = mix(color.RGBA{255, 250, 228, 255}, c, max(far-13.5, 0)/1.5)
			}
			for layer := range layers {
				if edge := ridges[layer][x] - float64(y); edge < 1 {
					c = mix(mix(hills[layer], litHills[layer], warm), c, edge)
				}
			}
			img.SetRGBA(x, y, c)
		}
	}
	seconds := int(at / time.Second)
	for i, digit := range []int{seconds / 600, seconds / 60 % 10, -1, seconds % 60 / 10, seconds % 10} {
		drawDigit(img, 16+i*26, 212, digit)
	}
	return img
}

// ridge is the height at which a layer of hills ends; those in front are lower, and all are the video's own.
func ridge(hue float64, layer int, x float64) float64 {
	y := 130 + 28*float64(layer)
	seed := hue*57 + float64(layer)*13.7
	for octave := 1.0; octave <= 16; octave *= 2 {
		y += 30 / octave * math.Sin(x*octave/130+seed*octave) * math.Cos(x*octave/310+seed*1.7)
	}
	return y
}

// tint gives a soft colour of the hue (0 to 1), from black over the hue to white.
func tint(hue, light float64) color.RGBA {
	channel := func(shift float64) uint8 {
		c := 0.66 + 0.27*math.Cos(2*math.Pi*(hue+shift))
		if light > 0.6 {
			c += (1 - c) * (light - 0.6) / 0.4
		}
		return uint8(255 * min(max(c*min(light/0.6, 1), 0), 1))
	}
	return color.RGBA{channel(0), channel(1.0 / 3), channel(2.0 / 3), 255}
}

// mix goes from a to b.
func mix(a, b color.RGBA, part float64) color.RGBA {
	part = min(max(part, 0), 1)
	m := func(x, y uint8) uint8 { return uint8(float64(x)*(1-part) + float64(y)*part) }
	return color.RGBA{m(a.R, b.R), m(a.G, b.G), m(a.B, b.B), 255}
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
			img.SetRGBA(x, y, mix(img.RGBAAt(x, y), color.RGBA{255, 255, 255, 255}, 0.85))
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
